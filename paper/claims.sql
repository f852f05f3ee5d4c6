-- The orders of two methods that were published, held against ours: how many hold, and a table of each.

WITH
wanted (study, prefix, inside, name) AS (VALUES
    ('main', 'claims/', 0, 'all'), ('main', 'claims/', 0, 'hold'), ('main', 'claims/', 0, 'reversed'),
    ('main', 'claims/', 0, 'undecided'), ('main', 'claims/', 0, 'undecided-alike'),
    ('main', 'claims/', 0, 'undecided-against'),
    -- both methods used as they are meant to be
    ('main', 'claims/inside/', 1, 'all'), ('main', 'claims/inside/', 1, 'hold'), ('main', 'claims/inside/', 1, 'reversed'),
    ('main', 'claims/inside/', 1, 'undecided'),
    ('stable', 'stable/claims/', 0, 'hold'), ('stable', 'stable/claims/', 0, 'reversed'),
    ('stable', 'stable/claims/', 0, 'undecided'), ('stable', 'stable/claims/', 0, 'undecided-against'))
SELECT w.prefix || w.name AS fact, sum(c.study IS NOT NULL AND CASE w.name
        WHEN 'all' THEN 1
        WHEN 'undecided-alike' THEN c.finding = 'undecided' AND c.ratio > 1
        WHEN 'undecided-against' THEN c.finding = 'undecided' AND c.ratio <= 1
        ELSE c.finding = w.name
    END) AS value
FROM wanted w JOIN study USING (study)
    LEFT JOIN claim c ON c.study = w.study AND (NOT w.inside OR NOT (c.lower_outside OR c.higher_outside))
GROUP BY w.prefix, w.name;

SELECT '\begin{tabular}{rl*{' || (count(*) + 1) || '}{r}l}
\toprule
 & & \multicolumn{' || (count(*) + 1) || '}{c}{Ratio of the scores} & \\
\cmidrule(lr){3-' || (count(*) + 3) || '}
Steps & Published order' || coalesce(group_concat(' & ' || latex(word), ''), '') || ' & here & Verdict \\
\midrule' AS latex
FROM (SELECT substr(title, 1, min(instr(title || ' ', ' '), instr(title || ',', ',')) - 1) AS word FROM section
      WHERE study = 'published' ORDER BY section);

WITH main AS (
    SELECT *, row_number() OVER (PARTITION BY steps ORDER BY lower, higher) AS nth, min(steps) OVER () AS first FROM claim
    WHERE study = 'main')
SELECT iif(nth = 1 AND steps > first, '\addlinespace
', '') || iif(nth = 1, steps, '') || ' & '
    || iif(lower_outside, '(' || latex(lower_name) || ')', latex(lower_name)) || ' $<$ '
    || iif(higher_outside, '(' || latex(higher_name) || ')', latex(higher_name))
    || (SELECT group_concat(printf(' & %.2f', p.ratio), '')
        FROM (SELECT * FROM published_ratio p WHERE p.steps = m.steps AND p.lower = m.lower_method
              AND p.higher = m.higher_method ORDER BY p.section) p)
    || printf(' & %.2f & ', ratio)
    || CASE finding WHEN 'hold' THEN 'confirmed' WHEN 'reversed' THEN '\textbf{reversed}'
        ELSE iif(ratio > 1, 'undecided ($+$)', 'undecided ($-$)') END || ' \\' AS latex
FROM main m ORDER BY steps, lower, higher;

SELECT '\bottomrule
\end{tabular}' AS latex;
