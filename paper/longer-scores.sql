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
SELECT 'longer/ratio/' || name, three_digits(ratio)
FROM budget JOIN compared USING (updates)
WHERE study = 'longer' AND steps = 4 AND method = 'shortcut' AND other_method = 'flow-matching' AND other_updates = updates;
