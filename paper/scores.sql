-- Scores that the text names, and how they compare.

WITH wanted (study, key, steps) AS (VALUES
    ('main', 'flow-matching', 1), ('main', 'flow-matching', 4), ('main', 'flow-matching', 128),
    ('main', 'progressive-distillation', 1), ('main', 'reflow', 1), ('main', 'reflow', 4),
    ('main', 'shortcut', 1), ('main', 'shortcut', 4), ('main', 'shortcut', 128),
    ('main', 'mean-flow', 1), ('main', 'mean-flow', 4), ('main', 'consistency-training', 1),
    ('main', 'consistency-training', 4),
    ('conditional', 'flow-matching', 1), ('conditional', 'flow-matching', 4), ('conditional', 'shortcut', 1),
    ('conditional', 'shortcut', 4),
    ('ablation', '1', 1), ('ablation', '1', 4), ('ablation', '1/64', 1), ('ablation', '1/64', 4))
SELECT study || '/' || key || '/' || steps AS fact, table_cell(mean, error) AS value
FROM wanted JOIN final USING (study, key, steps);

SELECT 'main/exact/1' AS fact, three_digits(mean) AS value FROM cell JOIN shown USING (study, section)
WHERE study = 'main' AND origin = 'exact' AND steps = 1 AND setting = '0';

-- A score over that of the same row at another number of steps, over common seeds.
WITH wanted (study, key, steps, other) AS (VALUES
    ('main', 'flow-matching', 4, 128))
SELECT w.study || '/' || w.key || '/ratio/' || w.steps || '/' || w.other AS fact,
    three_digits(exp(avg(ln(a.value) - ln(b.value)))) AS value
FROM wanted w JOIN final f USING (study, key, steps)
    JOIN seed_score a USING (study, section, place, steps)
    JOIN seed_score b ON b.study = a.study AND b.section = a.section AND b.place = a.place AND b.steps = w.other
        AND b.seed = a.seed
WHERE a.at_update IS NULL AND b.at_update IS NULL
GROUP BY fact;

-- Two rows.
WITH
wanted (study, steps, key, other_key, name) AS (VALUES
    ('main', 1, 'shortcut', 'flow-matching', '/ratio'), ('main', 4, 'shortcut', 'flow-matching', '/ratio'),
    ('main', 128, 'shortcut', 'flow-matching', ''), ('main', 128, 'shortcut', 'flow-matching', '/ratio'),
    ('main', 1, 'mean-flow', 'shortcut', '/ratio'), ('main', 128, 'mean-flow', 'flow-matching', ''),
    ('main', 128, 'mean-flow', 'flow-matching', '/ratio'))
SELECT study || '/' || steps || '/' || key || '/vs/' || other_key || name AS fact,
    iif(name = '/ratio', three_digits(ratio), words) AS value
FROM wanted JOIN compared USING (study, steps, key, other_key);

-- To whom the lowest mean of each number of steps belongs: "at 1 step to Reflow, not distinguishable from A and B; at 4,
-- 8 and 16 steps to …". Numbers of steps that say the same stand together.
WITH
named AS (
    SELECT study, place, steps, mean, seeds,
        iif(setting IS NULL, latex(short), latex(s.ablated) || ' = ' || latex(setting)) AS name
    FROM final JOIN study s USING (study) WHERE study IN ('main', 'ablation')),
lowest AS (
    SELECT * FROM (SELECT *, row_number() OVER (PARTITION BY study, steps ORDER BY mean, place) AS rank FROM named)
    WHERE rank = 1),
alike AS ( -- rows that cannot be told from it
    SELECT l.study, l.steps, n.place, n.name,
        row_number() OVER (PARTITION BY l.study, l.steps ORDER BY n.place) AS nth,
        count(*) OVER (PARTITION BY l.study, l.steps) AS count
    FROM lowest l JOIN named n ON n.study = l.study AND n.steps = l.steps AND n.place <> l.place
        JOIN shown s ON s.study = l.study
        JOIN comparison c ON c.study = l.study AND c.section = s.section AND c.steps = l.steps AND c.place = l.place
            AND c.other = n.place
    WHERE c.finding <> 'lower'),
said AS ( -- of one number of steps
    SELECT l.study, l.steps, ' to ' || l.name || CASE
            WHEN l.seeds < 2 THEN ''
            ELSE coalesce(', not distinguishable from ' || (
                SELECT group_concat(CASE nth WHEN 1 THEN '' WHEN count THEN ' and ' ELSE ', ' END || name, '')
                FROM (SELECT * FROM alike a WHERE a.study = l.study AND a.steps = l.steps ORDER BY nth)),
                ', lower than all others')
        END AS words
    FROM lowest l),
begun AS (
    SELECT *, words IS NOT lag(words) OVER (PARTITION BY study ORDER BY steps) AS begins FROM said),
grouped AS (
    SELECT *, sum(begins) OVER (PARTITION BY study ORDER BY steps) AS part FROM begun),
counted AS (
    SELECT *, row_number() OVER (PARTITION BY study, part ORDER BY steps) AS nth,
        count(*) OVER (PARTITION BY study, part) AS count
    FROM grouped ORDER BY study, part, steps),
parts AS (
    SELECT study, part, 'at ' || group_concat(CASE nth WHEN 1 THEN '' WHEN count THEN ' and ' ELSE ', ' END || steps, '')
        || iif(max(steps) = 1, ' step', ' steps') || words AS text
    FROM counted GROUP BY study, part ORDER BY study, part)
SELECT study || '/lowest' AS fact, group_concat(text, '; ') AS value FROM parts GROUP BY study;
