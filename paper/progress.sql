-- How the scores of the budget study move while it trains: a table of updates × methods and steps, and facts.

WITH
at AS (SELECT DISTINCT c.at_update FROM cell c JOIN shown USING (study, section)
       WHERE study = 'budget' AND c.at_update IS NOT NULL),
row AS (SELECT DISTINCT place, label FROM final WHERE study = 'budget'),
columns AS (SELECT count(*) AS count FROM column_of JOIN shown USING (study, section) WHERE study = 'budget'),
row_steps AS (
    SELECT r.place, r.label, c.steps, c.section FROM row r, column_of c JOIN shown USING (study, section)
    WHERE study = 'budget' ORDER BY r.place, c.steps),
lines (line, latex) AS (
    SELECT 0, '\begin{tabular}{r' || group_concat('!{\hspace{0.8em}}*{' || count || '}{r}', '') || '}
\toprule
' || group_concat(' & \multicolumn{' || count || '}{c}{' || latex(label) || ', steps}', '') || ' \\
' || group_concat('\cmidrule(lr){' || (2 + place * count) || '-' || (1 + (place + 1) * count) || '}', '') || '
Updates' || (SELECT group_concat(' & ' || steps, '') FROM row_steps) || ' \\
\midrule'
    FROM (SELECT * FROM row, columns ORDER BY place) HAVING count(*) > 0
    UNION ALL
    SELECT a.at_update, a.at_update || (
        SELECT group_concat(' & ' || coalesce(table_cell(x.mean, x.error, x.outside), '--'), '')
        FROM row_steps r LEFT JOIN cell x ON x.study = 'budget' AND x.section = r.section AND x.place = r.place
            AND x.steps = r.steps AND x.at_update = a.at_update) || ' \\'
    FROM at a
    UNION ALL
    SELECT 1e18, '\bottomrule
\end{tabular}' WHERE EXISTS (SELECT 1 FROM at))
SELECT latex FROM lines ORDER BY line;

-- By which factor the shortcut model's score is above flow matching's, over common seeds.
WITH
score AS (
    SELECT s.*, f.method FROM seed_score s JOIN final f USING (study, section, place, steps)
    WHERE study = 'budget' AND s.at_update IS NOT NULL),
ratio AS (
    SELECT a.steps, a.at_update, exp(avg(ln(a.value) - ln(b.value))) AS ratio
    FROM score a JOIN score b USING (steps, at_update, seed)
    WHERE a.method = 'shortcut' AND b.method = 'flow-matching' GROUP BY a.steps, a.at_update),
wanted (steps, name) AS (VALUES
    (1, 'first'), (1, 'last'), (4, 'first'), (4, 'last'), (4, 'largest'), (4, 'largest-at'), (16, 'first'), (16, 'last'),
    (64, 'first'), (64, 'last'))
SELECT 'budget/ratio/' || w.steps || '/' || w.name AS fact, CASE w.name
        WHEN 'first' THEN (SELECT three_digits(ratio) FROM ratio r WHERE r.steps = w.steps ORDER BY at_update LIMIT 1)
        WHEN 'last' THEN (SELECT three_digits(ratio) FROM ratio r WHERE r.steps = w.steps ORDER BY at_update DESC LIMIT 1)
        WHEN 'largest' THEN (SELECT three_digits(max(ratio)) FROM ratio r WHERE r.steps = w.steps)
        ELSE (SELECT at_update FROM ratio r WHERE r.steps = w.steps ORDER BY ratio DESC LIMIT 1)
    END AS value
FROM wanted w;

-- What the way between the last two scored updates left of a method's score.
WITH
score AS (
    SELECT s.*, f.method FROM seed_score s JOIN final f USING (study, section, place, steps)
    WHERE study = 'budget' AND s.at_update IS NOT NULL),
at AS (SELECT at_update, row_number() OVER (ORDER BY at_update DESC) AS back,
           row_number() OVER (ORDER BY at_update) AS nth
       FROM (SELECT DISTINCT at_update FROM score)),
wanted (method, steps) AS (VALUES
    ('flow-matching', 1), ('flow-matching', 4), ('flow-matching', 16), ('shortcut', 1), ('shortcut', 4), ('shortcut', 16))
SELECT 'budget/left/' || w.method || '/' || w.steps AS fact, three_digits(exp(avg(ln(a.value) - ln(b.value)))) AS value
FROM wanted w JOIN score a USING (method, steps) JOIN score b USING (method, steps, seed)
WHERE a.at_update = (SELECT at_update FROM at WHERE back = 1) AND b.at_update = (SELECT at_update FROM at WHERE back = 2)
GROUP BY w.method, w.steps
UNION ALL SELECT 'budget/updates/first', at_update FROM at WHERE nth = 1
UNION ALL SELECT 'budget/updates/before-last', at_update FROM at WHERE back = 2
UNION ALL SELECT 'budget/updates/last', at_update FROM at WHERE back = 1;

-- A score on the way: as many updates as the teachers of the pairs study have.
SELECT 'budget/at/700/flow-matching/64' AS fact, table_cell(c.mean, c.error) AS value
FROM cell c JOIN shown USING (study, section)
WHERE study = 'budget' AND c.at_update = 700 AND c.method = 'flow-matching' AND c.steps = 64;
