-- The figure of the ablation: its scores over the ablated value, a line for each number of steps.
WITH
settings AS (SELECT DISTINCT place, key FROM final WHERE study = 'ablation' ORDER BY place),
columns AS (
    SELECT steps, row_number() OVER (ORDER BY steps) AS line FROM column_of JOIN shown USING (study, section)
    WHERE study = 'ablation'),
lines (line, part, latex) AS (
    SELECT 0, 0, printf('\begin{semilogyaxis}[fs chart, xlabel={\texttt{%s}}, xmin=-0.4, xmax=%d.4, xtick={%s}, '
        || 'xticklabels={%s}, %s]', latex(s.ablated), (SELECT max(place) FROM settings),
        (SELECT group_concat(place) FROM settings), (SELECT group_concat('{' || latex(key) || '}') FROM settings),
        y.options)
    FROM study s JOIN y_axis y USING (study) WHERE study = 'ablation'
    UNION ALL
    SELECT line, 1, '\fsline{' || ((line - 1) % 8 + 1) || '}{' || line || '}{' || steps
        || iif(steps = 1, ' step', ' steps') || '}{fs-ablation.dat}' FROM columns
    UNION ALL
    SELECT DISTINCT line, 2 + outside, '\fsmarks{' || ((line - 1) % 8 + 1) || '}{' || (2 * line + outside) || '}{'
        || iif(outside, 'outside', 'inside') || '}{fs-ablation.dat}'
    FROM point JOIN columns USING (steps) WHERE study = 'ablation'
    UNION ALL
    SELECT 1000, 0, printf('\fsfloor{%s}{-0.4}{%g}{%.9g}', latex(split), (SELECT max(place) FROM settings) + 0.4, data)
    FROM range WHERE shows_data AND study = 'ablation'
    UNION ALL
    SELECT 1001, 0, '\end{semilogyaxis}' FROM study WHERE study = 'ablation')
SELECT latex FROM lines ORDER BY line, part;

SELECT line, 2 * line + outside AS mark, place AS x, shortest(y) AS y, shortest(below) AS below, shortest(above) AS above
FROM point JOIN (SELECT steps, row_number() OVER (ORDER BY steps) AS line
                 FROM column_of JOIN shown USING (study, section) WHERE study = 'ablation') USING (steps)
WHERE study = 'ablation' ORDER BY line, place;
