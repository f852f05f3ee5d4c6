-- The figure of the main table: its scores over the number of steps, a line for each row. Marks are filled inside and
-- hollow outside of a method's use: the data has the number of its line, and as its mark 2 line + outside.
WITH
steps AS (SELECT steps FROM column_of JOIN shown USING (study, section) WHERE study = 'main' ORDER BY steps),
ends AS (SELECT min(steps) / 1.3 AS first, max(steps) * 1.3 AS last FROM steps),
lines (line, part, latex) AS (
    SELECT 0, 0, printf('\begin{loglogaxis}[fs steps, xmin=%.6g, xmax=%.6g, xtick={%s}, xticklabels={%s}, %s]', first, last,
        (SELECT group_concat(steps) FROM steps), (SELECT group_concat(steps) FROM steps), y.options)
    FROM ends, y_axis y WHERE y.study = 'main'
    UNION ALL
    SELECT DISTINCT place + 1, 1, '\fsline{' || (place % 8 + 1) || '}{' || (place + 1) || '}{' || latex(label)
        || '}{fs-steps.dat}' FROM point WHERE study = 'main'
    UNION ALL
    SELECT DISTINCT place + 1, 2 + outside, '\fsmarks{' || (place % 8 + 1) || '}{' || (2 * (place + 1) + outside) || '}{'
        || iif(outside, 'outside', 'inside') || '}{fs-steps.dat}' FROM point WHERE study = 'main'
    UNION ALL
    SELECT 1000, 0, printf('\fsfloor{%s}{%g}{%g}{%.9g}', latex(split), first, last, data) FROM ends, range WHERE shows_data AND study = 'main'
    UNION ALL
    SELECT 1001, 0, '\end{loglogaxis}')
SELECT latex FROM lines ORDER BY line, part;

SELECT place + 1 AS line, 2 * (place + 1) + outside AS mark, steps AS x, shortest(y) AS y, shortest(below) AS below,
    shortest(above) AS above
FROM point WHERE study = 'main' ORDER BY place, steps;
