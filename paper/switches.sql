-- What the text has and does without, and a line for whoever makes the paper.
WITH there (study) AS (SELECT study FROM study)
SELECT 'ablation' AS switch, 'ablation' IN there AS value
UNION ALL SELECT 'budget', 'budget' IN there
UNION ALL SELECT 'pairs', 'pairs' IN there
UNION ALL SELECT 'seeds', seeds > 1 FROM shown WHERE study = 'main'
UNION ALL SELECT 'fid', metric = 'fid' FROM shown WHERE study = 'main'
UNION ALL SELECT 'samples', EXISTS (SELECT 1 FROM picture WHERE path IS NOT NULL)
UNION ALL SELECT 'unstable', EXISTS (SELECT 1 FROM seed_score WHERE study = 'main' AND run IN (SELECT run FROM fall))
-- other measures of the main study
UNION ALL SELECT 'others', (SELECT count(*) FROM section WHERE study = 'main') > 1
UNION ALL SELECT 'spectrum', 'spectrum' IN (SELECT metric FROM section WHERE study = 'main')
UNION ALL SELECT 'infinity', 'fd_infinity' IN (SELECT metric FROM section WHERE study = 'main');

WITH optional (study, usual) AS (VALUES
    ('ablation', 'ablation-max-step'), ('budget', 'why-budget'), ('pairs', 'why-pairs'))
SELECT 'no scores of ' || usual || ': the paper does without (`fewstep run experiments/' || usual
    || '.yaml` makes them)' AS note
FROM optional WHERE study NOT IN (SELECT study FROM study);

SELECT 'no pictures of samples: the paper has no figure of them' AS note
WHERE NOT EXISTS (SELECT 1 FROM picture WHERE path IS NOT NULL);
