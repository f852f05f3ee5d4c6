-- The appendix: every number of the tables with its runs, seed by seed.
WITH
lines (study, line, steps, latex) AS (
    SELECT study, -1, 0, '\multicolumn{4}{@{}l}{\itshape ' || latex(experiment) || '} \\*' FROM study
    UNION ALL
    SELECT f.study, f.place, f.steps, latex(f.label) || coalesce(', ' || latex(f.setting), '') || ' & ' || f.steps
        || ' & ' || table_cell(f.mean, f.error) || ' & ' || (
        SELECT group_concat('\hyperlink{run:' || substr(run, 1, 8) || '}{\texttt{' || substr(run, 1, 8) || '}}', ', ')
        FROM (SELECT run FROM seed_score s WHERE s.study = f.study AND s.section = f.section AND s.place = f.place
              AND s.steps = f.steps AND s.at_update IS NULL ORDER BY seed)) || ' \\'
    FROM final f
    UNION ALL
    SELECT study, 1000, 0, 'Data & -- & ' || table_cell(mean) || ' & no run: the score of the ' || latex(label)
        || ' split \\' FROM data),
ordered AS (SELECT study, rowid AS rank FROM study WHERE study <> 'stable')
SELECT iif(line = -1 AND rank > 1, '\addlinespace
', '') || latex AS latex
FROM lines JOIN ordered USING (study) ORDER BY rank, line, steps;
