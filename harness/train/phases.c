/* The phases of a training: which of them an update lies in, and what the beginning of one does. */
#include "harness/train/phases.h"

/* The method's phases; with `ema_reset: false` all of them, a student's first too, go on with the averages before. */
void fs_plan_phases(struct fs_trainer *trainer)
{
    trainer->phase_count = trainer->training->config->method->phases(&trainer->setup, trainer->phases);
    for (int i = 0; !trainer->training->config->train.ema_reset && i < trainer->phase_count; i++) {
        trainer->phases[i].averages_continue = trainer->phases[i].start != FS_START_FRESH;
    }
}

struct fs_train_place fs_current_place(const struct fs_trainer *trainer)
{
    struct fs_train_place place = {.phase = trainer->phases, .schedule_updates = trainer->phases[0].updates};
    int64_t end = 0;
    for (int i = 0; i < trainer->phase_count; i++) {
        const struct fs_phase *phase = &trainer->phases[i];
        const bool began = i == 0 || trainer->update >= end; /* phases that come later only prolong the schedule's */
        if (began) {
            place.phase = phase;
            place.begin = end;
            place.averages_begin = phase->averages_continue ? place.averages_begin : end;
        }
        if (i > 0 && phase->schedule_continues) {
            place.schedule_updates += phase->updates;
        } else if (began) {
            place.schedule_begin = end;
            place.schedule_updates = phase->updates;
        } else {
            break;
        }
        end += phase->updates;
    }
    return place;
}

static void copy_weights(struct fs_trainer *trainer, struct fs_weights *to, const struct fs_weights *from)
{
    if (to->values.data) {
        trainer->backend->copy(trainer->backend, to->values, from->values);
        fs_dit_refresh(trainer->dit, to);
    }
}

/* The average begins again from the weights. */
static void restart_average(struct fs_trainer *trainer)
{
    if (!trainer->average_in_parts) {
        copy_weights(trainer, &trainer->ema, &trainer->model);
        return;
    }
    const struct fs_view part = fs_trainer_part(trainer, trainer->ema.values, true);
    if (part.cols > 0) {
        trainer->backend->copy(trainer->backend, part, fs_trainer_part(trainer, trainer->model.values, false));
    }
}

/* The average becomes the teacher, whole on every rank. */
static void promote_average(struct fs_trainer *trainer)
{
    if (!trainer->average_in_parts) {
        copy_weights(trainer, &trainer->teacher, &trainer->ema);
        return;
    }
    const struct fs_view part = fs_trainer_part(trainer, trainer->ema.values, true);
    if (part.cols > 0) {
        trainer->backend->copy(trainer->backend, fs_trainer_part(trainer, trainer->teacher.values, false), part);
    }
    fs_reduction_gather(&trainer->reduction, trainer->teacher.values);
    fs_dit_refresh(trainer->dit, &trainer->teacher);
}

void fs_begin_phase(struct fs_trainer *trainer, const struct fs_phase *phase)
{
    if (phase->teacher_is_previous) {
        promote_average(trainer);
    }
    if (phase->averages_continue) {
        return;
    }
    restart_average(trainer);
    copy_weights(trainer, &trainer->target, &trainer->model);
}
