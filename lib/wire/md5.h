/* md5.h: MD5, for the one header that still asks for it: Content-MD5 of S3's DeleteObjects. It is
 * a checksum there, and guards nothing. */
#ifndef IMI_WIRE_MD5_H
#define IMI_WIRE_MD5_H

#include <stddef.h>
#include <stdint.h>

#define IMI_MD5_SIZE 16

void imi_md5(uint8_t out[IMI_MD5_SIZE], const void *data, size_t size);

#endif
