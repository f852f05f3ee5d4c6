-- Other measures of the runs of the main study: facts, and a table each.

-- Power at high frequencies (a quarter of a cycle a pixel and above) over that of the data: the geometric mean over
-- frequencies and seeds. The spectral distance has no sign; this says whether detail is missing (below 1) or noise is
-- there (above 1).
WITH
wanted (method, steps) AS (
    SELECT m.column1, s.column1
    FROM (VALUES ('flow-matching'), ('reflow'), ('shortcut')) m, (VALUES (1), (4), (16)) s)
SELECT 'main/power/' || c.method || '/' || c.steps AS fact,
    three_digits(exp(avg(ln(p.power / p.reference_power)))) AS value
FROM wanted JOIN cell c USING (method, steps) JOIN seed_score s USING (study, section, place, steps)
    JOIN spectra p ON p.score = s.score
WHERE c.study = 'main' AND c.section = (SELECT min(section) FROM section WHERE study = 'main' AND metric = 'spectrum')
    AND c.at_update IS NULL AND s.at_update IS NULL AND p.frequency >= 0.25
GROUP BY c.method, c.steps;

-- What the text says of other measures.
WITH wanted (metric, method, steps) AS (VALUES
    ('spectrum', 'mean-flow', 4), ('spectrum', 'shortcut', 4), ('recall', 'mean-flow', 128), ('recall', 'flow-matching', 128))
SELECT 'main/' || metric || '/' || method || '/' || steps AS fact, table_cell(c.mean, c.error) AS value
FROM wanted JOIN section s USING (metric) JOIN cell c USING (study, section, method, steps)
WHERE study = 'main' AND c.origin = 'run' AND c.at_update IS NULL;

WITH
other AS (SELECT * FROM section WHERE study = 'main' AND section NOT IN (SELECT section FROM shown WHERE study = 'main')),
lines (section, line, latex) AS (
    SELECT section, -1, '\begin{fsother}{' || latex(title) || iif(seeds = 1, ', one seed', ', ' || seeds || ' seeds or as many as a raised number says') || '}'
    FROM other
    UNION ALL SELECT section, line, latex FROM score_table JOIN other USING (study, section)
    UNION ALL SELECT section, 2000, '\end{fsother}' FROM other)
SELECT latex FROM lines ORDER BY section, line;
