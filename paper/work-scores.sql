-- Equal work in place of equal updates: the table, and how the scores of two methods stand to flow matching's at 4 steps.
SELECT latex FROM score_table JOIN shown USING (study, section) WHERE study = 'work' ORDER BY line;

WITH wanted (method, name) AS (VALUES ('shortcut', '/ratio'), ('reflow', ''), ('reflow', '/ratio'))
SELECT 'work/4/' || method || '/vs/flow-matching' || name AS fact, iif(name = '/ratio', three_digits(ratio), words) AS value
FROM wanted JOIN compared USING (method)
WHERE study = 'work' AND steps = 4 AND other_method = 'flow-matching';
