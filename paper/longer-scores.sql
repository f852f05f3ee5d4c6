-- One budget and four: the table, flow matching's scores at 4 and at 128 steps, and how the shortcut model's stand to them
-- at 4.
SELECT latex FROM score_table JOIN shown USING (study, section) WHERE study = 'longer' ORDER BY line;

WITH
budget (name, updates) AS (
    SELECT 'first', min(updates) FROM final WHERE study = 'longer'
    UNION ALL SELECT 'last', max(updates) FROM final WHERE study = 'longer')
SELECT 'longer/flow-matching/' || steps || '/' || name AS fact, table_cell(mean, error) AS value
FROM budget JOIN final USING (updates)
WHERE study = 'longer' AND method = 'flow-matching' AND steps IN (4, 128)
UNION ALL
SELECT 'longer/ratio/' || b.name, three_digits(exp(avg(ln(s.value) - ln(f.value))))
FROM budget b
    JOIN final a ON a.study = 'longer' AND a.method = 'shortcut' AND a.updates = b.updates AND a.steps = 4
    JOIN final o ON o.study = 'longer' AND o.method = 'flow-matching' AND o.updates = b.updates AND o.steps = 4
    JOIN seed_score s ON s.study = a.study AND s.section = a.section AND s.place = a.place AND s.steps = 4
    JOIN seed_score f ON f.study = o.study AND f.section = o.section AND f.place = o.place AND f.steps = 4 AND f.seed = s.seed
WHERE s.at_update IS NULL AND f.at_update IS NULL
GROUP BY b.name;
