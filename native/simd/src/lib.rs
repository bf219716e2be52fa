//! SIMD lanes: one trait, implemented by AVX-512, AVX2 and portable code, chosen at run time.
