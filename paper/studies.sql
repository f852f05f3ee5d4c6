-- The experiments that the paper is about, and the names by which its queries call them. One that has no scores is left
-- out; `fewstep paper --set main=NAME` takes another. Columns: study, experiment, stable (1: without the trainings that
-- fell back).
WITH
scored AS (
    SELECT name, coalesce(ablated, '') AS ablated, max(used) AS used FROM experiments e
    WHERE EXISTS (SELECT 1 FROM experiment_scores m JOIN scores s ON s.number = m.score
                  WHERE m.experiment = e.id AND s.run IS NOT NULL)
    GROUP BY name),
usual (study, experiment, asked, stable, rank) AS (VALUES
    ('main', 'fashion-unconditional', given('main'), 0, 1),
    ('labels', 'fashion-groups', given('labels'), 0, 2),
    ('ablation', 'ablation-max-step', given('ablation'), 0, 3),
    ('samplers', 'fashion-samplers', given('samplers'), 0, 4),
    ('longer', 'fashion-longer', given('longer'), 0, 5),
    ('work', 'fashion-equal-work', given('work'), 0, 6),
    ('conditional', 'fashion-table', given('conditional'), 0, 7),
    ('stable', 'fashion-unconditional', given('main'), 1, 8))
SELECT study, coalesce(asked, s.name,
        -- a database without the main table: what was written to last and ablates nothing
        CASE WHEN study IN ('main', 'stable') THEN (SELECT name FROM scored WHERE ablated = '' ORDER BY used DESC LIMIT 1)
        END) AS experiment, stable
FROM usual u LEFT JOIN scored s ON s.name = u.experiment
WHERE asked IS NOT NULL OR s.name IS NOT NULL OR study IN ('main', 'stable')
ORDER BY rank;
