-- The figure of the main table: its scores over the number of steps, a line for each row, in two panels: the methods of the
-- shortcut-model study, and those of average velocities with flow matching and the shortcut model beside them. Marks are
-- filled inside and hollow outside of a method's use: the data has the number of its line, and as its mark 2 line + outside.
CREATE TEMP VIEW panel AS
WITH newer (method) AS (VALUES ('split-mean-flow'), ('mean-flow'), ('alpha-flow'), ('transition-model'))
SELECT 1 AS panel, place, label FROM (SELECT DISTINCT place, label, method FROM final WHERE study = 'main')
WHERE method NOT IN (SELECT method FROM newer)
UNION ALL
SELECT 2, place, label FROM (SELECT DISTINCT place, label, method FROM final WHERE study = 'main')
WHERE method IN ('flow-matching', 'shortcut') OR method IN (SELECT method FROM newer);

WITH
steps AS (SELECT steps FROM column_of JOIN shown USING (study, section) WHERE study = 'main' ORDER BY steps),
ends AS (SELECT min(steps) / 1.3 AS first, max(steps) * 1.3 AS last FROM steps),
panels (panel) AS (VALUES (1), (2)),
styled AS (SELECT *, place % 12 + 1 AS style FROM panel), -- a row has the same in both panels
lines (panel, line, part, latex) AS (
    SELECT panel, 0, 0, printf('\begin{loglogaxis}[fs steps, fs panel %d, xmin=%.6g, xmax=%.6g, xtick={%s}, xticklabels={%s}, %s]',
        panel, first, last, (SELECT group_concat(steps) FROM steps), (SELECT group_concat(steps) FROM steps),
        iif(panel = 1, y.options, replace(y.options, 'ylabel=', 'fs no ylabel=')))
    FROM panels, ends, y_axis y WHERE y.study = 'main'
    UNION ALL
    SELECT panel, place + 1, 1, '\fsline{' || style || '}{' || (place + 1) || '}{' || latex(label)
        || '}{fs-steps.dat}' FROM styled
    UNION ALL
    SELECT DISTINCT panel, place + 1, 2 + outside, '\fsmarks{' || style || '}{' || (2 * (place + 1) + outside)
        || '}{' || iif(outside, 'outside', 'inside') || '}{fs-steps.dat}'
    FROM styled JOIN point USING (place) WHERE study = 'main'
    UNION ALL
    SELECT panel, 1000, 0, printf('\fsfloor{%s}{%g}{%g}{%.9g}', latex(split), first, last, data)
    FROM panels, ends, range WHERE shows_data AND study = 'main'
    UNION ALL
    SELECT panel, 1001, 0, '\end{loglogaxis}' FROM panels)
SELECT latex FROM lines ORDER BY panel, line, part;

SELECT place + 1 AS line, 2 * (place + 1) + outside AS mark, steps AS x, shortest(y) AS y, shortest(below) AS below,
    shortest(above) AS above
FROM point WHERE study = 'main' ORDER BY place, steps;
