-- The hypotheses of the main study, by the test that corrects for these alone (harness/results/hypotheses.h).
WITH wanted (name) AS (VALUES ('all'), ('confirmed'), ('reversed'), ('undecided'))
SELECT 'hypotheses/' || name AS fact, sum(name = 'all' OR finding = name) AS value
FROM wanted, hypothesis WHERE study = 'main' GROUP BY name;

SELECT '\begin{tabular}{rllrrrrl}
\toprule
Steps & Lower & Higher & Ratio & Interval & Detectable & Seeds & Finding \\
\midrule' AS latex FROM hypothesis WHERE study = 'main' AND place = 1;

SELECT steps || ' & ' || latex(lower) || ' & ' || latex(higher) || ' & ' || coalesce(three_digits(ratio), '--') || ' & '
    || coalesce(three_digits(low) || ' to ' || three_digits(high), '--') || ' & ' || coalesce(three_digits(detectable), '--')
    || ' & ' || seeds || ' & ' || finding || ' \\' AS latex
FROM hypothesis WHERE study = 'main' ORDER BY place;

SELECT '\bottomrule
\end{tabular}' AS latex FROM hypothesis WHERE study = 'main' AND place = 1;
