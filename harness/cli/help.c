/* What --help says: views of a sub-command's options. */
#include "harness/cli/help.h"

#include <string.h>

#include "harness/build_info.h"

bool fs_help_asked(const char *word, enum fs_help *kind)
{
    static const struct {
        const char *word;
        enum fs_help kind;
    } words[] = {
        {"--help", FS_HELP_TEXT}, {"-h", FS_HELP_TEXT}, {"--help=man", FS_HELP_MAN}, {"--help=bash", FS_HELP_BASH}};

    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (strcmp(word, words[i].word) == 0) {
            *kind = words[i].kind;
            return true;
        }
    }
    return false;
}

/* --- as a text --- */

static void print_text(const struct fs_usage *usage)
{
    printf("usage: fewstep %s %s%s\n\n%s\n", usage->command, usage->arguments, usage->flag_count ? " [options]" : "",
           usage->summary);
    for (int i = 0; i < usage->flag_count; i++) {
        const struct fs_flag *flag = &usage->flags[i];
        char left[64];
        snprintf(left, sizeof left, "%s %s", flag->name, flag->argument ? flag->argument : "");
        printf("%s  %-24s %s\n", i ? "" : "\n", left, flag->help);
    }
    printf("\nexample:\n  %s\n", usage->example);
}

/* --- as a man page --- */

/* A text in roff: nothing of it is a command, hyphens can be copied; a line's indentation is left out. */
static void put_roff(const char *text)
{
    bool begin = true;
    for (; *text; text++) {
        if (begin && *text == ' ') {
            continue;
        }
        if (begin && (*text == '.' || *text == '\'')) {
            fputs("\\&", stdout);
        }
        if (*text == '\\' || *text == '-') {
            fputs(*text == '-' ? "\\-" : "\\e", stdout);
        } else {
            putchar(*text);
        }
        begin = *text == '\n';
    }
}

static void print_man(const struct fs_usage *usage)
{
    printf(".SS ");
    put_roff(usage->command);
    printf("\n.B fewstep ");
    put_roff(usage->command);
    printf("\n");
    if (*usage->arguments || usage->flag_count) {
        put_roff(usage->arguments);
        printf("%s%s\n", *usage->arguments && usage->flag_count ? " " : "", usage->flag_count ? "[options]" : "");
    }
    printf(".PP\n");
    put_roff(usage->summary);
    printf("\n");
    for (int i = 0; i < usage->flag_count; i++) {
        const struct fs_flag *flag = &usage->flags[i];
        printf(".TP\n\\fB");
        put_roff(flag->name);
        printf("\\fR");
        if (flag->argument) {
            printf(" \\fI");
            put_roff(flag->argument);
            printf("\\fR");
        }
        printf("\n");
        put_roff(*flag->help ? flag->help : "\\&");
        printf("\n");
    }
    printf(".PP\n.EX\n");
    put_roff(usage->example);
    printf("\n.EE\n");
}

static void begin_man(const struct fs_help_entry *entries, int count)
{
    printf(".\\\" Made from the help texts: fewstep --help=man\n.TH FEWSTEP 1 \"\" \"fewstep %s\"\n",
           fs_build_info.version);
    printf(".SH NAME\nfewstep \\- few\\-step generative models, trained, scored and compared\n.SH SYNOPSIS\n"
           ".B fewstep\n.I COMMAND\n\\&...\n.br\n.B fewstep\n.I COMMAND\n.B \\-\\-help\n.br\n"
           ".B fewstep \\-\\-version\n.SH DESCRIPTION\n");
    for (int i = 0; i < count; i++) {
        printf(".TP 12\n\\fB%s\\fR\n", entries[i].name);
        put_roff(entries[i].summary);
        printf("\n");
    }
    printf(".PP\nResults go to the standard output, progress and messages to the standard error.\n.SH COMMANDS\n");
}

static void end_man(void)
{
    static const char *const places[][2] = {
        {"out/fewstep.db", "the database, unless --out or --db says otherwise"},
        {"share/fewstep/experiments/", "experiments that come with fewstep; `fewstep run demo` finds them there"},
        {"share/fewstep/metrics/", "weights of feature extractors"},
        {"lib/fewstep/", "modules for MPI and CUDA, where they were built"},
    };
    static const char *const variables[][2] = {
        {"FEWSTEP_DATA", "a folder with data and weights that is looked into first"},
        {"FEWSTEP_CPU", "baseline, avx2 or avx512: the loops that are used"},
        {"FEWSTEP_RANKS", "single: under a launcher, each process is a run by itself"},
        {"FEWSTEP_CUDA_RANKS", "host: gradients of ranks go through the host's memory, not by NCCL"},
        {"FEWSTEP_NCCL_TIMEOUT",
         "seconds that a rank on a GPU waits for another's part of an update before all end (600)"},
        {"FEWSTEP_CUDA_FP32", "tf32: float32 is multiplied with ten bits of mantissa (ieee: with all)"},
        {"FEWSTEP_CUDA_ATTENTION", "own, cudnn or auto: whose attention in bf16"},
        {"FEWSTEP_CUDA_CHUNKS",
         "memory, cache or auto: what the samples that our own attention takes at once have to fit into"},
        {"FEWSTEP_CUDA_CONVOLUTION", "own, cudnn or auto: whose convolutions"},
        {"FEWSTEP_CUDA_GRAPH", "off: an update's operations are launched one by one, not kept as a graph"},
        {"FEWSTEP_CUDA_PRODUCTS",
         "a folder: algorithms of products, and ways around them, are timed once, and the fastest is kept there for "
         "the next call"},
        {"TMPDIR", "where files that are needed for the time of a call lie (/tmp)"},
        {"OMP_NUM_THREADS", "threads of a process (all that the CPU has; ranks of a machine share them)"},
        {"OMP_WAIT_POLICY", "active: threads that wait keep their core (passive)"},
    };
    printf(
        ".SH EXIT STATUS\n0 good; 2 wrong use (option, file, configuration); 3 the work failed; 5 stopped by a signal, "
        "where the same command goes on. Of regress also 1 worse and 4 undecided, of reproduce 1 other scores and 4 "
        "no known spread to say.\n.SH ENVIRONMENT\n");
    for (size_t i = 0; i < sizeof variables / sizeof *variables; i++) {
        printf(".TP\n.B %s\n", variables[i][0]);
        put_roff(variables[i][1]);
        printf("\n");
    }
    printf(".SH FILES\nWhere the program was installed, beside its bin:\n");
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        printf(".TP\n.I %s\n", places[i][0]);
        put_roff(places[i][1]);
        printf("\n");
    }
}

/* --- as bash's completion --- */

/* Values are offered where an option takes one of several words, "auto|cpu|cuda"; of others files are. */
static void print_bash(const struct fs_usage *usage)
{
    printf("    %s)\n        words='", usage->command);
    for (int i = 0; i < usage->flag_count; i++) {
        printf("%s ", usage->flags[i].name);
    }
    printf("--help'\n        case $previous in\n");
    for (int i = 0; i < usage->flag_count; i++) {
        const struct fs_flag *flag = &usage->flags[i];
        if (flag->argument && strchr(flag->argument, '|')) {
            printf("        %s) values='", flag->name);
            for (const char *at = flag->argument; *at; at++) {
                putchar(*at == '|' ? ' ' : *at);
            }
            printf("' ;;\n");
        }
    }
    printf("        esac\n        ;;\n");
}

static void begin_bash(const struct fs_help_entry *entries, int count)
{
    printf("# bash completion of fewstep %s, made from its options: fewstep --help=bash\n"
           "_fewstep() {\n"
           "    local current=$2 previous=$3 words= values=\n"
           "    COMPREPLY=()\n"
           "    if ((COMP_CWORD == 1)); then\n"
           "        words='",
           fs_build_info.version);
    for (int i = 0; i < count; i++) {
        printf("%s ", entries[i].name);
    }
    printf("--help --version'\n"
           "        COMPREPLY=($(compgen -W \"$words\" -- \"$current\"))\n"
           "        return\n"
           "    fi\n"
           "    case ${COMP_WORDS[1]} in\n");
}

static void end_bash(void)
{
    printf("    esac\n"
           "    if [[ $values ]]; then\n"
           "        COMPREPLY=($(compgen -W \"$values\" -- \"$current\"))\n"
           "    elif [[ $current == -* ]]; then\n"
           "        COMPREPLY=($(compgen -W \"$words\" -- \"$current\"))\n"
           "    fi\n" /* else files, by -o default */
           "}\n"
           "complete -o default -F _fewstep fewstep\n");
}

/* --- the kinds --- */

void fs_help_print(const struct fs_usage *usage, enum fs_help kind)
{
    static void (*const print[])(const struct fs_usage *) = {
        [FS_HELP_TEXT] = print_text, [FS_HELP_MAN] = print_man, [FS_HELP_BASH] = print_bash};
    print[kind](usage);
}

void fs_help_begin(const struct fs_help_entry *entries, int count, enum fs_help kind)
{
    (kind == FS_HELP_MAN ? begin_man : begin_bash)(entries, count);
}

void fs_help_end(enum fs_help kind)
{
    (kind == FS_HELP_MAN ? end_man : end_bash)();
}
