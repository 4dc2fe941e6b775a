#include <algorithm>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "pyane/chip/rules.h"
#include "pyane/mil/blob_file.h"
#include "pyane/mil/sub_byte.h"

// Weight files and compressed weights. Records are only looked at where the file was given.

namespace pyane::chip {
namespace {

struct BlobUse {
  const mil::Literal* literal;
  const mil::BlobReference* reference;
  std::string_view value;
};

// Every reference into a weight file, one for each literal.
std::vector<BlobUse> blob_uses(const FunctionView& function) {
  std::vector<BlobUse> uses;
  const auto add = [&](const mil::Literal* literal, std::string_view value) {
    if (literal == nullptr) return;
    const auto* reference = std::get_if<mil::BlobReference>(&literal->payload);
    if (reference != nullptr) uses.push_back({literal, reference, value});
  };
  for (const ValueView& value : function.values()) add(value.literal, value.name);
  for (const OpView& op : function.operations()) {
    for (std::size_t i = 0; i < op.inputs.size(); ++i) {
      if (op.inputs[i].value < 0) add(op.inputs[i].literal, op.names[i]);
    }
  }
  return uses;
}

Place place_of(const BlobUse& use) {
  return {.location = use.literal->location, .operation = {}, .value = use.value};
}

struct Record {
  const BlobUse* use;
  std::string where;  ///< "weights.bin: tensor at offset 64"
  std::uint64_t file_size;
  std::uint64_t n_bytes;  ///< That the text asks for.
  std::optional<mil::RawBlobRecord> raw;
};

template <class Visit>
void each_record(const RuleContext& context, Visit visit) {
  for (const BlobUse& use : blob_uses(context.function)) {
    const auto file = context.weights.find(use.reference->path);
    const mil::Type& type = use.literal->type;
    const auto count = element_count(type.dims);
    if (file == context.weights.end() || !count) continue;
    visit(Record{.use = &use,
                 .where = use.reference->path + ": tensor at offset " +
                          std::to_string(use.reference->offset),
                 .file_size = file->second.bytes.size(),
                 .n_bytes = mil::packed_bytes(type.dtype, static_cast<std::uint64_t>(*count)),
                 .raw = mil::peek_blob(file->second.bytes, use.reference->offset)});
  }
}

void check_record(const RuleContext& context, Report& report) {
  each_record(context, [&](const Record& record) {
    const DType dtype = record.use->literal->type.dtype;
    const auto fail = [&](const std::string& message, bool is_contested = false) {
      report.add({.place = place_of(*record.use),
                  .message = record.where + ": " + message,
                  .is_contested = is_contested});
    };
    if (!record.raw) {
      fail("the file ends at " + std::to_string(record.file_size));
    } else if (!record.raw->has_sentinel) {
      fail("there is no record: the sentinel 0xdeadbeef is missing");
    } else if (record.raw->dtype != dtype &&
               !(dtype == DType::kBool && record.raw->dtype == DType::kUint8)) {
      // maderix/ANE's int8 benchmark writes fp16 for int8 and is said to compile on M4.
      fail("dtype must be " + std::string(dtype_name(dtype)) + " as in the text, got " +
               (record.raw->dtype ? std::string(dtype_name(*record.raw->dtype))
                                  : "number " + std::to_string(record.raw->dtype_number)),
           !context.chip.quirks.checks_blob_size.value);
    }
  });
}

// The first record of which `fault` has something to say, and how many there are.
template <class Fault>
void report_records(const RuleContext& context, Report& report, const Fact<bool>& is_checked,
                    Fault fault) {
  std::size_t count = 0;
  Finding finding;
  each_record(context, [&](const Record& record) {
    if (!record.raw || !record.raw->has_sentinel) return;
    const std::string message = fault(record);
    if (message.empty() || ++count > 1) return;
    finding.place = place_of(*record.use);
    finding.message = record.where + ": " + message;
  });
  if (count == 0) return;
  finding.message += and_more(count);
  if (!is_checked.value) {
    finding.severity = Severity::kAdvice;
    finding.message += "; this generation does not look at it, others do";
  }
  finding.evidence = evidence_of(is_checked);
  report.add(std::move(finding));
}

void check_size(const RuleContext& context, Report& report) {
  report_records(context, report, context.chip.quirks.checks_blob_size,
                 [](const Record& record) -> std::string {
                   if (record.raw->n_bytes == record.n_bytes) return {};
                   return "size must be " + std::to_string(record.n_bytes) + " bytes, got " +
                          std::to_string(record.raw->n_bytes);
                 });
}

void check_data_offset(const RuleContext& context, Report& report) {
  report_records(
      context, report, context.chip.quirks.checks_blob_data_offset,
      [](const Record& record) -> std::string {
        const std::uint64_t after = record.use->reference->offset + 64;
        const std::uint64_t data = record.raw->data_offset;
        const bool fits = data <= record.file_size && record.n_bytes <= record.file_size - data;
        if (data >= after && fits) return {};
        return "data offset must be " + std::to_string(after) + ", got " + std::to_string(data);
      });
}

void check_total(const RuleContext& context, Report& report) {
  const auto& limit = context.chip.limits.max_weight_bytes;
  std::set<std::pair<std::string_view, std::uint64_t>> seen;
  std::int64_t total = 0;
  for (const BlobUse& use : blob_uses(context.function)) {
    if (!seen.emplace(use.reference->path, use.reference->offset).second) continue;
    const std::int64_t n_bytes = packed_bytes(use.literal->type);
    if (n_bytes > 0 && total < (std::int64_t{1} << 60)) total += n_bytes;
  }
  if (total <= limit.value) return;
  constexpr std::int64_t kSurelyTooMuch = 3'400'000'000;
  report.add({.place = Place::of(context.function.function()),
              .message = "weights take " + std::to_string(total) + " bytes, beyond " +
                         std::to_string(limit.value) +
                         (total > kSurelyTooMuch ? "" : ", where programs begin to fail"),
              .is_contested = total <= kSurelyTooMuch,
              .evidence = evidence_of(limit)});
}

void check_zero_point(const RuleContext& context, Report& report) {
  if (context.chip.generation != 1) return;
  for (const OpView* op : context.function.operations_of({"dequantize", "quantize"})) {
    const auto zero_point = context.function.integers(*op, "zero_point");
    if (!zero_point || std::all_of(zero_point->begin(), zero_point->end(),
                                   [](std::int64_t z) { return z == 0; })) {
      continue;
    }
    report.add({.place = Place::of(*op), .message = "zero_point must be 0"});
  }
}

// Bits of a palette's indices: from the type (iOS18), or from its entries (iOS16).
int palette_bits(const OpView& op) {
  const InputView* indices = op.input("indices");
  const InputView* lut = op.input("lut");
  if (indices == nullptr || indices->type == nullptr) return 0;
  const int bits = dtype_info(indices->type->dtype).bits;
  if (bits < 8 || lut == nullptr || lut->rank() != 1) return bits;
  int n = 0;
  while (n < 8 && (std::int64_t{1} << n) < lut->dims()[0]) ++n;
  return n;
}

void check_palette(const RuleContext& context, Report& report) {
  if (context.chip.generation != 1) return;
  for (const OpView* op : context.function.operations_of({"constexpr_lut_to_dense"})) {
    const int bits = palette_bits(*op);
    if (bits == 0 || bits == 4 || bits == 8) continue;
    report.add({.place = Place::of(*op),
                .message = "palettes must have 4 or 8 bits, got " + std::to_string(bits)});
  }
}

void check_streaming(const RuleContext& context, Report& report) {
  const Quirks& quirks = context.chip.quirks;
  const struct {
    std::string_view op;
    const Fact<bool>& streams;
  } kForms[] = {
      {"constexpr_affine_dequantize", quirks.streams_int8},
      {"constexpr_blockwise_shift_scale", quirks.streams_blockwise},
      {"constexpr_lut_to_dense", quirks.streams_int4_lut},
      {"constexpr_sparse_to_dense", quirks.streams_sparse},
  };
  for (const auto& form : kForms) {
    const auto found = context.function.operations_of({form.op});
    if (found.empty() || form.streams.value) continue;
    report.add({.place = Place::of(*found.front()),
                .message = std::string(form.op) +
                           " becomes fp16 when compiled: no less memory "
                           "traffic than plain weights" +
                           and_more(found.size()),
                .is_contested = is_contested(form.streams),
                .evidence = evidence_of(form.streams)});
  }
}

}  // namespace

std::vector<Rule> weight_rules() {
  return {
      {.id = "ANE090",
       .name = "weight-record",
       .title = "A weight reference that meets no record of its type",
       .severity = Severity::kRefusedAtCompile,
       .why = "BLOBFILE's offset is that of a 64-byte record in front of the data, which says "
              "the element type.",
       .instead = "Write weight files with pyane.mil's BlobWriter or coremltools, and use the "
                  "offset it returns.",
       .evidence = "apple/coremltools, MILBlob: its reader checks sentinel and type.",
       .engine_text = "InvalidMILProgram",
       .check_function = check_record},
      {.id = "ANE091",
       .name = "weight-record-size",
       .title = "A weight record whose size is not the tensor's",
       .severity = Severity::kRefusedAtCompile,
       .why = "Records written by hand often carry a wrong size. M1 and M3 check it, M4 and M5 do "
              "not: this reading explains why a benchmark compiled on M3 for 512 channels only, "
              "whose size it happened to state.",
       .instead = "Write weight files with pyane.mil's BlobWriter or coremltools.",
       .evidence = "maderix/ANE benchmark report, read beside its programs; not measured for "
                   "itself.",
       .engine_text = "ANECCompile() FAILED",
       .check_function = check_size},
      {.id = "ANE092",
       .name = "weight-record-offset",
       .title = "A weight record that does not say where its data are",
       .severity = Severity::kRefusedAtCompile,
       .why = "A record's data offset counts from the file's beginning; records written by hand "
              "leave it 0. M1 checks it, later generations take the bytes after the record.",
       .instead = "Write weight files with pyane.mil's BlobWriter or coremltools.",
       .evidence = "maderix/ANE benchmark report, read beside its programs; not measured for "
                   "itself.",
       .engine_text = "ANECCompile() FAILED",
       .check_function = check_data_offset},
      {.id = "ANE093",
       .name = "too-much-weight",
       .title = "More weights than one program can hold",
       .severity = Severity::kRefusedAtCompile,
       .why = "Programs of 1.5 to 2 GB of weights begin to fail, those above 3.4 GB do for sure.",
       .instead = "Split the program, compress the weights, or give them as inputs.",
       .evidence = "ANEForge issue 45, on M5 Pro.",
       .engine_text = "Not implemented",
       .check_function = check_total},
      {.id = "ANE094",
       .name = "asymmetric-quantization",
       .title = "quantize or dequantize with a zero point on M1",
       .severity = Severity::kRefusedAtCompile,
       .why = "M1's descriptors have no zero point.",
       .instead = "Quantize symmetrically, to int8 with zero point 0.",
       .evidence = "ane-guide app.A.",
       .engine_text = {},
       .check_function = check_zero_point},
      {.id = "ANE095",
       .name = "palette-bits",
       .title = "A palette of other than 4 or 8 bits on M1",
       .severity = Severity::kRefusedAtCompile,
       .why = "M1 streams palettes of 16 and 256 entries; those of 1 and 2 bits are refused, those "
              "of 3 and 6 need a later descriptor.",
       .instead = "Use 16 entries.",
       .evidence = "ane-guide ch.7, 25.",
       .engine_text = {},
       .check_function = check_palette},
      {.id = "ANE096",
       .name = "compression-without-gain",
       .title = "Compressed weights that are expanded when compiling",
       .severity = Severity::kSlow,
       .why = "Whether a form stays compressed on its way to the engine depends on the chip; "
              "where not, it only saves disk.",
       .instead = "On M1 use 4-bit palettes or sparse weights; from M2 on int8 streams too.",
       .evidence = "ane-guide ch.7, measured on M1 Max, M2 Pro and M5 Pro.",
       .engine_text = {},
       .check_function = check_streaming},
  };
}

}  // namespace pyane::chip
