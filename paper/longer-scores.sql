-- One budget and four: the table, and how the shortcut model's score stands to flow matching's at 4 steps.
SELECT latex FROM score_table JOIN shown USING (study, section) WHERE study = 'longer' ORDER BY line;

WITH
score AS (
    SELECT s.seed, s.value, f.method, f.updates FROM seed_score s JOIN final f USING (study, section, place, steps)
    WHERE study = 'longer' AND s.at_update IS NULL AND steps = 4),
ratio AS (
    SELECT a.updates, exp(avg(ln(a.value) - ln(b.value))) AS ratio FROM score a JOIN score b USING (updates, seed)
    WHERE a.method = 'shortcut' AND b.method = 'flow-matching' GROUP BY a.updates)
SELECT 'longer/ratio/first' AS fact, three_digits(ratio) AS value FROM ratio WHERE updates = (SELECT min(updates) FROM ratio)
UNION ALL
SELECT 'longer/ratio/last', three_digits(ratio) FROM ratio WHERE updates = (SELECT max(updates) FROM ratio);
