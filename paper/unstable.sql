-- Trainings of the main table that fell back on the way: their scores tell of an unstable rate, not of the method. Who
-- they are, and what the others say without them.

WITH fallen AS (
    SELECT DISTINCT c.place, latex(c.label) || ' (seed ' || s.seed || ')' AS name, s.seed, f.before, f.at_update, f.peak,
        f.peak_update, c.teacher_updates
    FROM final c JOIN seed_score s USING (study, section, place, steps) JOIN fall f USING (run)
    WHERE c.study = 'main' AND s.at_update IS NULL
    ORDER BY c.place, s.seed)
SELECT 'main/unstable' AS fact, group_concat(name || ', whose loss rose from ' || three_digits(before)
    || ' before update ' || at_update || iif(teacher_updates > 0, ' of the student', '') || ' to ' || three_digits(peak)
    || ' at update ' || peak_update, '; ') AS value
FROM fallen
UNION ALL SELECT 'main/unstable/names', group_concat(name, '; ') FROM fallen;

-- "Reflow 44.9 ± 0.2 at 1 step, 39.6 at 2; ": the rows that have lost a run.
WITH
rows AS (
    SELECT m.place, m.label, m.training, sum(m.seeds) AS seeds,
        (SELECT sum(s.seeds) FROM final s WHERE s.study = 'stable' AND s.training = m.training) AS left
    FROM final m WHERE m.study = 'main' GROUP BY m.place),
kept AS (
    SELECT training, steps, table_cell(mean, error) AS score,
        row_number() OVER (PARTITION BY training ORDER BY steps) AS nth
    FROM final WHERE study = 'stable' ORDER BY training, steps)
SELECT 'main/unstable/without' AS fact, group_concat(latex(label) || coalesce(
    (SELECT group_concat(iif(nth = 1, ' ', ', ') || score || ' at ' || steps
        || CASE WHEN nth > 1 THEN '' WHEN steps = 1 THEN ' step' ELSE ' steps' END, '')
     FROM kept k WHERE k.training = r.training), ': no run is left') || '; ', '') AS value
FROM (SELECT * FROM rows WHERE left IS NULL OR left < seeds ORDER BY place) r;
