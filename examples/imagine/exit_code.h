/* exit_code.h: what the program says to a script: one exit code per class of error. */
#ifndef EXIT_CODE_H
#define EXIT_CODE_H

enum {
    CODE_OK = 0,
    CODE_OTHER = 1,    /* out of memory, a bug */
    CODE_USAGE = 2,    /* the command line, a setting, a file that goes in */
    CODE_UNKNOWN = 3,  /* no such provider, model, action or task */
    CODE_TOKEN = 4,    /* a token is missing, not valid, or not enough */
    CODE_LATER = 5,    /* tokens are used up, or too much is under way: later it may work */
    CODE_REFUSED = 6,  /* the provider refused the request or the content */
    CODE_PROVIDER = 7, /* the provider, or the server, failed or cannot be reached */
    CODE_TIME = 8,     /* it took too long */
    CODE_OUTPUT = 9,   /* what was made could not be written */
    CODE_MIXED = 10,   /* batch: some failed, for different reasons */
    CODE_SIGNAL = 128  /* and the number of the signal */
};

/* The class of an IMAGINE_E… number. */
int exit_code_of(int error);
/* The IMAGINE_E… number of a name, as a server's answer has it; 0: nobody knows it. */
int error_of_name(const char *name);
/* The table of --help. */
extern const char exit_code_help[];

#endif
