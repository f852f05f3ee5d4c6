-- Flow matching, the shortcut model and the exact velocity, told of G groups of classes; and the rule that says from the
-- exact velocity where few-step training pays: exact(N) > shortcut(N) − flow matching(most steps).
CREATE TEMP VIEW told AS
SELECT f.setting AS groups, f.steps,
    max(iif(f.method = 'flow-matching', f.mean, NULL)) AS flow, max(iif(f.method = 'flow-matching', f.error, NULL)) AS flow_error,
    max(iif(f.method = 'shortcut', f.mean, NULL)) AS shortcut, max(iif(f.method = 'shortcut', f.error, NULL)) AS shortcut_error,
    (SELECT c.mean FROM cell c JOIN shown s USING (study, section) WHERE c.study = 'labels' AND c.origin = 'exact'
        AND c.steps = f.steps AND CAST(c.setting AS INTEGER) IN (CAST(f.setting AS INTEGER), iif(f.setting = '1', 0, -1))) AS exact
FROM final f WHERE f.study = 'labels' GROUP BY f.setting, f.steps;

CREATE TEMP VIEW told_rule AS
SELECT t.*, t.shortcut < t.flow AS pays, t.exact > t.shortcut - m.flow AS said
FROM told t JOIN told m ON m.groups = t.groups AND m.steps = (SELECT max(steps) FROM told)
WHERE t.steps < m.steps AND t.flow IS NOT NULL AND t.shortcut IS NOT NULL AND t.exact IS NOT NULL;

SELECT 'labels/4/' || groups AS fact, table_cell(flow, flow_error) AS value FROM told
WHERE steps = 4 AND groups IN ('1', '10')
UNION ALL SELECT 'labels/exact/4/' || groups, three_digits(exact) FROM told WHERE steps = 4 AND groups IN ('1', '10')
UNION ALL SELECT 'labels/ratio/4/' || groups, three_digits(shortcut / flow) FROM told WHERE steps = 4 AND groups IN ('1', '10')
UNION ALL SELECT 'labels/most', max(steps) FROM told
UNION ALL SELECT 'labels/rule/all', count(*) FROM told_rule
UNION ALL SELECT 'labels/rule/right', sum(pays = said) FROM told_rule
-- What the best rule would get right that knows the number of steps alone, chosen afterwards.
UNION ALL SELECT 'labels/rule/steps', max(hits) FROM (
    SELECT sum(r.pays = (r.steps <= top.steps)) AS hits
    FROM told_rule r, (SELECT DISTINCT steps FROM told_rule) top GROUP BY top.steps);

WITH
columns AS (SELECT DISTINCT steps FROM told_rule ORDER BY steps),
lines (groups, line, latex) AS (
    SELECT 0, 0, '\begin{tabular}{ll*{' || (count(*) + 1) || '}{r}}
\toprule
 & & \multicolumn{' || (count(*) + 1) || '}{c}{Sampling steps} \\
\cmidrule(l){3-' || (count(*) + 3) || '}
Groups & ' || group_concat(' & ' || steps, '') || ' & ' || (SELECT max(steps) FROM told) || ' \\'
    FROM columns HAVING count(*) > 0
    UNION ALL SELECT DISTINCT CAST(groups AS INTEGER), 0, '\midrule' FROM told
    UNION ALL
    SELECT CAST(groups AS INTEGER), 1, groups || ' & exact velocity' || group_concat(' & ' || coalesce(three_digits(exact), '--'), '') || ' \\'
    FROM (SELECT * FROM told ORDER BY groups, steps) GROUP BY groups
    UNION ALL
    SELECT CAST(groups AS INTEGER), 2, ' & flow matching' || group_concat(' & ' || coalesce(table_cell(flow, flow_error), '--'), '') || ' \\'
    FROM (SELECT * FROM told ORDER BY groups, steps) GROUP BY groups
    UNION ALL
    SELECT CAST(groups AS INTEGER), 3, ' & shortcut model' || group_concat(' & ' || coalesce(table_cell(shortcut, shortcut_error), '--'), '') || ' \\'
    FROM (SELECT * FROM told ORDER BY groups, steps) GROUP BY groups
    UNION ALL
    SELECT CAST(groups AS INTEGER), 4, ' & pays' || group_concat(' & ' || iif(pays, 'yes', 'no') || ' (' || iif(said, 'yes', 'no') || ')', '') || ' & \\'
    FROM (SELECT * FROM told_rule ORDER BY groups, steps) GROUP BY groups
    UNION ALL SELECT 1000, 0, '\bottomrule
\end{tabular}' WHERE EXISTS (SELECT 1 FROM columns))
SELECT latex FROM lines ORDER BY groups, line;
