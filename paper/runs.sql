-- The appendix: every run behind the tables, a line a row, seed by seed; the experiments one after the other.
WITH
rows AS (
    SELECT DISTINCT f.study, f.section, f.place, f.label, f.setting FROM final f WHERE f.study <> 'stable'),
lines AS (
    SELECT r.study, r.place, latex(r.label) || coalesce(', ' || latex(r.setting), '') || ' & ' || (
        SELECT group_concat('\texttt{' || substr(run, 1, 8) || '}', ' ')
        FROM (SELECT DISTINCT seed, run FROM seed_score s WHERE s.study = r.study AND s.section = r.section
              AND s.place = r.place AND s.at_update IS NULL ORDER BY seed)) || ' \\' AS latex
    FROM rows r
    UNION ALL
    SELECT study, -1, '\multicolumn{2}{@{}l}{\texttt{' || latex(experiment) || '}} \\' FROM study WHERE study <> 'stable'),
ordered AS (SELECT study, rowid AS rank FROM study)
SELECT iif(place = -1 AND rank > 1, '\addlinespace
', '') || latex AS latex
FROM lines JOIN ordered USING (study) ORDER BY rank, place;
