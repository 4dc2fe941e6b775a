# Sourced by the scripts here: finding or installing Debian packages.

# have_packages NAME...: installs what is missing where that is possible; false when it is not.
have_packages() {
  local missing=()
  for package in "$@"; do
    dpkg -s "$package" >/dev/null 2>&1 || missing+=("$package")
  done
  [ ${#missing[@]} -eq 0 ] && return 0
  if ! command -v apt-get >/dev/null || [ "$(id -u)" -ne 0 ]; then
    echo "skipped: needs the Debian packages ${missing[*]}, and they cannot be installed here"
    return 1
  fi
  apt-get update -qq >/dev/null 2>&1
  if ! DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
    "${missing[@]}" >/dev/null 2>&1; then
    echo "skipped: installing the Debian packages ${missing[*]} failed"
    return 1
  fi
}

# find_clang PACKAGE...: prints clang++ >= 19, installing it with PACKAGE... if needed. Says why on
# standard error and fails when there is none.
find_clang() {
  have_packages clang-19 "$@" >&2 || return 1
  command -v clang++-19
}
