-- Flow matching by sampler and grid of times: a row for each section of the measure, as the sections' titles name them.
CREATE TEMP VIEW sampled AS
SELECT s.section, iif(instr(s.title, 'heun sampler'), 'heun', 'euler') || iif(instr(s.title, 'time grid shifted '), '-shifted', '') AS name,
    c.steps, c.mean, c.error
FROM section s JOIN cell c USING (study, section)
WHERE s.study = 'samplers' AND s.metric = (SELECT metric FROM shown WHERE study = 'samplers') AND c.origin = 'run' AND c.at_update IS NULL
    AND c.method = 'flow-matching';

WITH wanted (name, steps) AS (VALUES ('euler', 4), ('euler-shifted', 4), ('euler-shifted', 8), ('heun-shifted', 4), ('heun-shifted', 8))
SELECT 'samplers/' || name || '/' || steps AS fact, table_cell(mean, error) AS value FROM wanted JOIN sampled USING (name, steps);

WITH
measured AS (
    SELECT s.section, iif(instr(s.title, 'heun sampler'), 'Heun', 'Euler') AS sampler,
        iif(instr(s.title, 'time grid shifted '), 'shifted '
            || substr(s.title, instr(s.title, 'time grid shifted ') + 18), 'uniform') AS grid
    FROM section s WHERE s.study = 'samplers' AND s.metric = (SELECT metric FROM shown WHERE study = 'samplers')),
steps AS (SELECT DISTINCT steps FROM column_of WHERE study = 'samplers' ORDER BY steps),
lines (line, latex) AS (
    SELECT 0, '\begin{tabular}{ll*{' || count(*) || '}{r}}
\toprule
 & & \multicolumn{' || count(*) || '}{c}{Sampling steps} \\
\cmidrule(l){3-' || (2 + count(*)) || '}
Sampler & Grid of times' || group_concat(' & ' || steps, '') || ' \\
\midrule' FROM steps HAVING count(*) > 0
    UNION ALL
    SELECT m.section, m.sampler || ' & ' || latex(m.grid) || (
        SELECT group_concat(' & ' || coalesce((SELECT table_cell(c.mean, c.error) FROM cell c WHERE c.study = 'samplers'
            AND c.section = m.section AND c.steps = s.steps AND c.origin = 'run' AND c.at_update IS NULL), '--'), '')
        FROM steps s) || ' \\'
    FROM measured m
    UNION ALL
    SELECT 1000, '\bottomrule
\end{tabular}' WHERE EXISTS (SELECT 1 FROM steps))
SELECT latex FROM lines ORDER BY line;
