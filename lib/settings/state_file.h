/* state_file.h: can state be kept there? Asked at the start, while somebody still looks: the
 * storage itself opens the file in the background, and only the log hears of its troubles. */
#ifndef IMI_SETTINGS_STATE_FILE_H
#define IMI_SETTINGS_STATE_FILE_H

/* What speaks against it, in one line; NULL: nothing. Blocks; makes and changes nothing. */
const char *imi_state_file_problem(const char *path);

#endif
