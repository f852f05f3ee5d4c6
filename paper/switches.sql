-- What the text has and does without, and a line for whoever makes the paper.
WITH there (study) AS (SELECT study FROM study)
-- A study counts once what the text says of it is there.
SELECT 'ablation' AS switch,
    (SELECT count(*) FROM final WHERE study = 'ablation' AND steps = 4 AND key IN ('1', '1/64')) = 2 AS value
UNION ALL SELECT 'labels', (SELECT count(*) FROM told WHERE steps = 4 AND groups IN ('1', '10') AND flow IS NOT NULL
    AND shortcut IS NOT NULL AND exact IS NOT NULL) = 2
UNION ALL SELECT 'samplers', (SELECT count(DISTINCT name) FROM sampled WHERE steps IN (4, 8)) = 4
UNION ALL SELECT 'longer', (SELECT count(*) FROM (
    SELECT updates FROM final WHERE study = 'longer' AND steps = 4 GROUP BY updates HAVING count(DISTINCT method) = 2)) > 1
UNION ALL SELECT 'work', (SELECT count(*) FROM compared WHERE study = 'work' AND steps = 4 AND method IN ('shortcut', 'reflow')
    AND other_method = 'flow-matching' AND ratio IS NOT NULL) = 2
UNION ALL SELECT 'conditional', 'conditional' IN there AND (SELECT experiment FROM study WHERE study = 'conditional')
    <> (SELECT experiment FROM study WHERE study = 'main')
UNION ALL SELECT 'seeds', seeds > 1 FROM shown WHERE study = 'main'
UNION ALL SELECT 'fid', metric = 'fid' FROM shown WHERE study = 'main'
UNION ALL SELECT 'samples', EXISTS (SELECT 1 FROM picture WHERE path IS NOT NULL)
UNION ALL SELECT 'unstable', EXISTS (SELECT 1 FROM seed_score WHERE study = 'main' AND run IN (SELECT run FROM fall))
UNION ALL SELECT 'hypotheses', EXISTS (SELECT 1 FROM hypothesis WHERE study = 'main')
UNION ALL SELECT 'before', EXISTS (SELECT 1 FROM hypothesis WHERE study = 'main' AND before)
UNION ALL SELECT 'exact', EXISTS (SELECT 1 FROM cell WHERE study = 'main' AND origin = 'exact')
-- methods beyond the four of the first study
UNION ALL SELECT 'average', (SELECT count(DISTINCT method) FROM final WHERE study = 'main'
    AND method IN ('mean-flow', 'consistency-training')) = 2
-- other measures of the main study
UNION ALL SELECT 'others', (SELECT count(*) FROM section WHERE study = 'main') > 1
UNION ALL SELECT 'spectrum', 'spectrum' IN (SELECT metric FROM section WHERE study = 'main');

WITH optional (study, usual) AS (VALUES
    ('labels', 'fashion-groups'), ('ablation', 'ablation-max-step'), ('samplers', 'fashion-samplers'),
    ('longer', 'fashion-longer'), ('work', 'fashion-equal-work'), ('conditional', 'fashion-table'))
SELECT 'no scores of ' || usual || ': the paper does without (`fewstep run experiments/' || usual
    || '.yaml` makes them)' AS note
FROM optional WHERE study NOT IN (SELECT study FROM study);

SELECT 'no pictures of samples: the paper has no figure of them' AS note
WHERE NOT EXISTS (SELECT 1 FROM picture WHERE path IS NOT NULL);
