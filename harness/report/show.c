/* Everything that the database knows of one run. */
#include "harness/report/show.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "harness/config/config.h"
#include "harness/report/rows_json.h"
#include "harness/text/escape.h"
#include "harness/text/number.h"
#include "kernels/base/memory.h"

#define OF_RUN " = (SELECT number FROM runs WHERE id = ?1)"

static const struct {
    const char *name, *sql;
} parts[] = {
    {"run", "SELECT id, method, dataset, model, seed, state, message, updates, flops, seconds, peak_bytes, is_teacher, "
            "teacher, train_hash, data_sha256, source_hash, datetime(created, 'unixepoch') AS created, "
            "datetime(changed, 'unixepoch') AS changed FROM runs WHERE id = ?1"},
    {"environments",
     "SELECT coalesce(e.commit_hash, 'unknown') || iif(e.dirty, '-dirty', '') AS \"commit\", "
     "e.source_hash, e.compiler, e.flags, e.libraries, e.cpu, e.isa, e.device, e.threads, e.host "
     "FROM run_environments m JOIN environments e ON e.id = m.environment WHERE m.run" OF_RUN " ORDER BY m.position"},
    {"checkpoints",
     "SELECT at_update AS \"update\", path, bytes, sha256 FROM checkpoints WHERE run" OF_RUN " ORDER BY at_update"},
    {"scores", "SELECT metric, extractor, steps, value, low, high, samples, guidance_scale, sampler, time_grid, "
               "weights, reference, "
               "at_update AS \"update\", score_hash FROM scores WHERE run" OF_RUN
               " ORDER BY metric, extractor, at_update, steps, number"},
    {"last_points",
     "SELECT name, max(at_update) AS \"update\", value FROM curves WHERE run" OF_RUN " GROUP BY name ORDER BY name"},
    {"experiments",
     "SELECT e.name, e.path, e.ablated, m.label FROM experiment_runs m JOIN experiments e ON e.id = m.experiment "
     "WHERE m.run" OF_RUN " ORDER BY e.used DESC"},
};

/* A run that is a teacher only is made by those that need it. The configuration that is stored is that of the
 * experiment which asked for the run first. */
#define ORIGIN                                                                                                         \
    "SELECT r.config_json, x.path, x.text, (SELECT e.commit_hash FROM run_environments n JOIN environments e ON e.id " \
    "= "                                                                                                               \
    "n.environment WHERE n.run = r.number ORDER BY n.position LIMIT 1) AS commit_hash "                                \
    "FROM runs r JOIN experiment_runs m ON m.run = r.number JOIN experiments x ON x.id = m.experiment "                \
    "WHERE r.id = ?1 OR r.teacher = ?1 ORDER BY r.id = ?1 DESC, m.position LIMIT 1"

static const char *text_at(const json_t *row, const char *key)
{
    const char *text = json_string_value(json_object_get(row, key));

    return text ? text : "";
}

/* The command line that makes the run of an ORIGIN row again, quoted for a shell; owned by the caller. */
static fs_status command_of(const json_t *origin, char **command, struct fs_error *error)
{
    const char *commit = text_at(origin, "commit_hash"), *path = text_at(origin, "path");
    char *options;
    size_t size;

    FS_TRY(fs_run_options(text_at(origin, "text"), text_at(origin, "config_json"), &options, error));
    FILE *stream = open_memstream(command, &size);
    if (stream) {
        fputs(*commit ? "git checkout " : "", stream);
        if (*commit) {
            fs_put_shell(commit, stream);
        }
        fputs(*commit ? " && make && build/fewstep run " : "build/fewstep run ", stream);
        fputs(*path == '-' ? "./" : "", stream); /* else it would be an option */
        fs_put_shell(path, stream);
        fputs(options, stream);
    }
    free(options);
    return !stream || fclose(stream) != 0 ? fs_fail(error, FS_FAILED, "no memory for a run's command") : FS_OK;
}

static fs_status add_command(struct fs_store *store, const char *id, json_t *all, struct fs_error *error)
{
    json_t *rows;

    FS_TRY(fs_rows_json(store, &rows, error, ORIGIN, "t", id));
    if (json_array_size(rows) == 0) { /* scored or trained by hand, outside an experiment */
        json_decref(rows);
        return FS_OK;
    }
    struct fs_error unreadable = {0};
    char *command;
    const fs_status status = command_of(json_array_get(rows, 0), &command, &unreadable);
    json_decref(rows);
    if (status == FS_USAGE) { /* of a program that knew other keys: better no command than another run's */
        return FS_OK;
    }
    if (status != FS_OK) {
        *error = unreadable;
        return status;
    }
    const int failed = json_object_set_new(all, "command", json_string(command));
    free(command);
    return failed ? fs_fail(error, FS_FAILED, "no memory for a run") : FS_OK;
}

/* Of a run's checkpoints only the newest stay; the rows of the others keep their SHA-256. */
static void mark_checkpoints(json_t *rows)
{
    size_t i;
    json_t *row;

    json_array_foreach(rows, i, row)
    {
        json_object_set_new(row, "on_disk", json_boolean(access(text_at(row, "path"), F_OK) == 0));
    }
}

static fs_status collect(struct fs_store *store, const char *id, const char *config_json, json_t *all,
                         struct fs_error *error)
{
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        json_t *rows;
        FS_TRY(fs_rows_json(store, &rows, error, parts[i].sql, "t", id));
        if (strcmp(parts[i].name, "checkpoints") == 0) {
            mark_checkpoints(rows);
        }
        json_t *part = i == 0 ? json_incref(json_array_get(rows, 0)) : json_incref(rows);
        json_decref(rows);
        if (json_object_set_new(all, parts[i].name, part) != 0) {
            return fs_fail(error, FS_FAILED, "no memory for a run");
        }
    }
    json_t *config = json_loads(config_json, 0, NULL);
    if (!config || json_object_set_new(all, "configuration", config) != 0) {
        return fs_fail(error, FS_FAILED, "run %.8s: its configuration in the database is no JSON", id);
    }
    return add_command(store, id, all, error);
}

fs_status fs_run_json(struct fs_store *store, const char *prefix, json_t **all, struct fs_error *error)
{
    char id[65], *config_json;

    *all = NULL;
    FS_TRY(fs_store_find_run(store, prefix, id, &config_json, error));
    *all = json_object();
    const fs_status status = collect(store, id, config_json, *all, error);
    free(config_json);
    if (status != FS_OK) {
        json_decref(*all);
        *all = NULL;
    }
    return status;
}

fs_status fs_show_print(struct fs_store *store, const char *prefix, bool json, FILE *stream, struct fs_error *error)
{
    json_t *all;

    FS_TRY(fs_run_json(store, prefix, &all, error));
    if (json) {
        json_dumpf(all, stream, JSON_COMPACT);
        fputc('\n', stream);
    } else {
        char size[FS_NUMBER_TEXT];
        json_t *run = json_object_get(all, "run");
        const json_t *peak = json_object_get(run, "peak_bytes");
        if (json_number_value(peak) > 0) {
            fs_byte_size((int64_t)json_number_value(peak), size);
            json_object_set_new(run, "peak_bytes", json_string(size));
        }
        fs_json_print(all, 0, stream);
    }
    json_decref(all);
    return FS_OK;
}
