-- Pictures of samples, two a line: those of the seed of which there are most, a training that fell back counted as half.
WITH
chosen AS (SELECT seed FROM picture WHERE path IS NOT NULL GROUP BY seed ORDER BY sum(worth) DESC, seed LIMIT 1)
SELECT 'main/samples-seed' AS fact, seed AS value FROM chosen;

WITH
chosen AS (SELECT seed FROM picture WHERE path IS NOT NULL GROUP BY seed ORDER BY sum(worth) DESC, seed LIMIT 1),
numbered AS (
    SELECT *, row_number() OVER (ORDER BY place) AS nth FROM picture WHERE path IS NOT NULL AND seed IN (SELECT seed FROM
        chosen))
SELECT CASE WHEN nth % 2 = 0 THEN '\hfill
' WHEN nth > 1 THEN '

\smallskip

' ELSE '' END || '\fssample{' || latex(label) || '}{' || path || '}%' AS latex
FROM numbered ORDER BY nth;
