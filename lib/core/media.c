/* media.c: names that nobody can guess. */
#include "core/media.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "wire/str.h"
#include "wire/time.h"

static const char *extension_of(const char *mime) {
    const char *kind = strchr(mime, '/');
    return strcmp(mime, "image/jpeg") == 0 ? "jpg" : kind != NULL ? kind + 1 : "bin";
}

bool imi_media_file_name(const imagine_io_t *io, const char *mime, char out[IMI_MEDIA_NAME_SIZE]) {
    char hex[33];
    uint8_t bytes[16];
    if (io->random(io->context, bytes, sizeof(bytes)) != 0)
        return false;
    imi_hex(hex, bytes, sizeof(bytes));
    return snprintf(out, IMI_MEDIA_NAME_SIZE, "%s.%s", hex, extension_of(mime)) <
           IMI_MEDIA_NAME_SIZE;
}

bool imi_media_object_name(const imagine_io_t *io, const char *mime,
                           char out[IMI_MEDIA_NAME_SIZE]) {
    char day[IMI_TIME_TEXT_SIZE], hex[33];
    uint8_t bytes[16];
    if (io->random(io->context, bytes, sizeof(bytes)) != 0)
        return false;
    bytes[6] = (uint8_t)(0x40 | (bytes[6] & 0x0F)); /* RFC 9562, version 4 */
    bytes[8] = (uint8_t)(0x80 | (bytes[8] & 0x3F));
    imi_hex(hex, bytes, sizeof(bytes));
    imi_time_format(day, io->unix_ms(io->context), false); /* "2026-01-08T…" */
    return snprintf(out, IMI_MEDIA_NAME_SIZE,
                    IMI_MEDIA_PREFIX "%.4s%.2s%.2s/%.8s-%.4s-%.4s-%.4s-%.12s.%s", day, day + 5,
                    day + 8, hex, hex + 8, hex + 12, hex + 16, hex + 20,
                    extension_of(mime)) < IMI_MEDIA_NAME_SIZE;
}
