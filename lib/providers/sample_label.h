/* sample_label.h: what every drawn picture says about itself, along its lower edge. */
#ifndef IMI_PROVIDERS_SAMPLE_LABEL_H
#define IMI_PROVIDERS_SAMPLE_LABEL_H

#include <stdint.h>

#define IMI_LABEL_TEXT "sample \xC2\xB7 drawn locally, no AI" /* UTF-8 */

/* Writes the label over row y of a picture. Narrow pictures say "sample" only; below 40 by 14
 * pixels there is no room for letters, and the picture's own text chunk must do. */
void imi_label_row(uint32_t width, uint32_t height, uint32_t y, uint8_t *rgb);

#endif
