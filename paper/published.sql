-- The numbers of the original study, two settings a line. Their steps stand in its order.
WITH
column AS (
    SELECT section, steps, min(rowid) AS place FROM cell WHERE study = 'published' GROUP BY section, steps),
head AS (
    SELECT section, count(*) AS columns, group_concat(' & ' || steps, '') AS steps
    FROM (SELECT * FROM column ORDER BY section, place) GROUP BY section),
body AS (
    SELECT section, place, label, group_concat(text, '') AS cells
    FROM (
        SELECT c.section, c.place, c.label, ' & ' || iif(outside, '(', '') || iif(mean = round(mean), printf('%.1f', mean), shortest(mean)) || '\rlap{'
            || iif(outside, ')', '') || iif(confirmed, '', '$^\dagger$') || '}' AS text
        FROM cell c JOIN column k USING (section, steps) WHERE study = 'published' ORDER BY c.section, c.place, k.place)
    GROUP BY section, place),
lines (section, line, latex) AS (
    SELECT section, 0, CASE WHEN section = 1 THEN '' WHEN section % 2 = 0 THEN '\hfill
' ELSE '
\medskip

' END || '\begin{fspublished}{' || latex(title) || '}
\begin{tabular}{l*{' || columns || '}{r}}
\toprule
 & \multicolumn{' || columns || '}{c}{Sampling steps} \\
\cmidrule(l){2-' || (columns + 1) || '}
Method' || steps || ' \\
\midrule'
    FROM head JOIN section USING (section) WHERE study = 'published'
    UNION ALL SELECT section, 1 + place, latex(label) || cells || ' \\' FROM body
    UNION ALL SELECT section, 1000, '\bottomrule
\end{tabular}
\end{fspublished}%' FROM head)
SELECT latex FROM lines ORDER BY section, line;
