#pragma once

// Declarations of what pyane uses, written from Apple's public documentation. For the cross-check
// only (cpp/tests/macos_stub/check.py); builds on macOS use Apple's own headers.

#ifndef ACCELERATE_NEW_LAPACK
#error "without ACCELERATE_NEW_LAPACK these are the deprecated interfaces"
#endif

#ifdef __cplusplus
extern "C" {
#endif

enum CBLAS_ORDER { CblasRowMajor = 101, CblasColMajor = 102 };
enum CBLAS_TRANSPOSE { CblasNoTrans = 111, CblasTrans = 112, CblasConjTrans = 113 };

void cblas_sgemm(const enum CBLAS_ORDER order, const enum CBLAS_TRANSPOSE transpose_a,
                 const enum CBLAS_TRANSPOSE transpose_b, const int m, const int n, const int k,
                 const float alpha, const float* a, const int lda, const float* b, const int ldb,
                 const float beta, float* c, const int ldc) __asm("_cblas_sgemm$NEWLAPACK");

#ifdef __cplusplus
}
#endif
