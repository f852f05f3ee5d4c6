-- Equal work in place of equal updates: the table, and how the shortcut model's score stands to flow matching's at 4 steps.
SELECT latex FROM score_table JOIN shown USING (study, section) WHERE study = 'work' ORDER BY line;

SELECT 'work/ratio' AS fact, three_digits(ratio) AS value FROM compared
WHERE study = 'work' AND steps = 4 AND key = 'shortcut' AND other_key = 'flow-matching';
