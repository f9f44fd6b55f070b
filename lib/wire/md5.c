/* md5.c: by OpenSSL's plain MD5 functions, for the reasons given in sha256.c. They work in FIPS
 * mode too, which refuses EVP's MD5 altogether. */
#define OPENSSL_API_COMPAT 10100 /* declares them: OpenSSL 3 still has them, but advises EVP */
#include "wire/md5.h"

#include <openssl/md5.h>

void imi_md5(uint8_t out[IMI_MD5_SIZE], const void *data, size_t size) {
    MD5_CTX context;
    MD5_Init(&context);
    MD5_Update(&context, data, size);
    MD5_Final(out, &context);
}
