/* The sub-commands, each in a file of its name. */
#ifndef FEWSTEP_COMMAND_H
#define FEWSTEP_COMMAND_H

#include "kernels/base/error.h"

/* Verdicts of `regress` and `reproduce`: exit statuses beside those of fs_status, and no failures. */
enum { FS_EXIT_WORSE = 1, FS_EXIT_UNDECIDED = 4 };

/* argv without the program's and the command's name. Results go to stdout, progress to stderr. The exit status; `error`
 * says what failed, and nothing where nothing did. */
typedef fs_status fs_command(int argc, char **argv, struct fs_error *error);

fs_command fs_command_run;
fs_command fs_command_eval;
fs_command fs_command_sample;
fs_command fs_command_decode;
fs_command fs_command_table;
fs_command fs_command_report;
fs_command fs_command_paper;
fs_command fs_command_export;
fs_command fs_command_runs;
fs_command fs_command_show;
fs_command fs_command_gc;
fs_command fs_command_merge;
fs_command fs_command_sbatch;
fs_command fs_command_regress;
fs_command fs_command_reproduce;
fs_command fs_command_encode;
fs_command fs_command_fid;
fs_command fs_command_stats;
fs_command fs_command_bench;
fs_command fs_command_doctor;
fs_command fs_command_extractor;

#endif
