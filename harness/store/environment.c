/* What this process makes its numbers with and on: the build, the libraries, the machine. */
#include "harness/store/environment.h"

#include <cblas.h>
#include <fftw3.h>
#include <gnu/libc-version.h>
#include <jansson.h>
#include <omp.h>
#include <png.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <yaml.h>
#include <zip.h>
#include <zlib.h>

#include <jpeglib.h> /* behind stdio.h, whose names it uses */

#include "harness/build_info.h"
#include "kernels/cpu/onednn.h"

/* libjpeg-turbo gives its version as bare digits. */
#define QUOTE(x) #x
#define TEXT(x) QUOTE(x)
#ifdef LIBJPEG_TURBO_VERSION
#define JPEG_VERSION "libjpeg-turbo " TEXT(LIBJPEG_TURBO_VERSION)
#else
#define JPEG_VERSION "libjpeg " TEXT(JPEG_LIB_VERSION)
#endif

void fs_library_versions(char *text, size_t size)
{
    char onednn[32], openblas[64] = "unknown", fftw[64] = "unknown";

    /* "OpenBLAS 0.3.21 DYNAMIC_ARCH …" and "fftw-3.3.10-sse2-avx": the version, without the rest. */
    sscanf(openblas_get_config(), "OpenBLAS %63s", openblas);
    sscanf(fftw_version, "fftw-%63[0-9.]", fftw);
    fs_onednn_version(onednn);
    snprintf(text, size,
             "oneDNN %s, OpenBLAS %s, FFTW %s, libyaml %s, SQLite %s, jansson %s, zlib %s, libzip %s, libpng %s, %s, "
             "glibc %s",
             onednn, openblas, fftw, yaml_get_version_string(), sqlite3_libversion(), jansson_version_str(),
             zlibVersion(), zip_libzip_version(), png_get_libpng_ver(NULL), JPEG_VERSION, gnu_get_libc_version());
}

void fs_processor_name(char *text, size_t size)
{
    FILE *file = fopen("/proc/cpuinfo", "r");
    char line[256];

    snprintf(text, size, "unknown");
    while (file && fgets(line, sizeof(line), file)) {
        const char *value = strchr(line, ':');
        if (strncmp(line, "model name", 10) == 0 && value) {
            snprintf(text, size, "%.*s", (int)strcspn(value + 2, "\n"), value + 2);
            break;
        }
    }
    if (file) {
        fclose(file);
    }
}

struct fs_environment fs_environment_collect(const struct fs_backend *backend, int ranks,
                                             struct fs_environment_texts *texts)
{
    fs_library_versions(texts->libraries, sizeof(texts->libraries));
    fs_processor_name(texts->cpu, sizeof(texts->cpu));
    if (gethostname(texts->host, sizeof(texts->host)) != 0) {
        snprintf(texts->host, sizeof(texts->host), "unknown");
    }
    texts->host[sizeof(texts->host) - 1] = 0; /* a long name may come without its end */
    return (struct fs_environment){
        .commit = fs_build_info.commit,
        .dirty = fs_build_info.dirty,
        .source_hash = fs_build_info.source_hash,
        .compiler = fs_build_info.compiler,
        .flags = fs_build_info.flags,
        .libraries = texts->libraries,
        .cpu = texts->cpu,
        .isa = backend->variant,
        .device = backend->name,
        .host = texts->host,
        .threads = omp_get_max_threads(),
        .ranks = ranks,
    };
}

fs_status fs_store_this_environment(struct fs_store *store, const struct fs_backend *backend, int ranks, int64_t *id,
                                    struct fs_error *error)
{
    struct fs_environment_texts texts;
    const struct fs_environment environment = fs_environment_collect(backend, ranks, &texts);

    return fs_store_environment(store, &environment, id, error);
}
