-- The appendix: every run behind the tables, a teacher after the first that needs it, with the command that makes it
-- again and the machines that trained it.
WITH
needed AS (
    SELECT s.run AS id, min(t.rowid * 1000000 + s.place * 1000 + s.seed) AS rank, 0 AS is_teacher
    FROM seed_score s JOIN shown USING (study, section) JOIN study t USING (study)
    WHERE study <> 'stable' AND s.at_update IS NULL GROUP BY s.run),
listed AS (
    SELECT id, min(rank) AS rank, is_teacher
    FROM (SELECT * FROM needed
          UNION ALL SELECT r.teacher, n.rank, 1 FROM needed n JOIN runs r USING (id) WHERE r.teacher IS NOT NULL)
    GROUP BY id),
machine AS (
    SELECT m.run, latex(e.cpu) || ', ' || latex(e.isa) || ', ' || e.threads || iif(e.threads = 1, ' thread', ' threads')
        || iif(e.dirty, ', with changes that were not committed', '') AS text
    FROM run_environments m JOIN environments e ON e.id = m.environment ORDER BY m.run, m.position),
trained AS (SELECT run, ' (' || group_concat(text, '; then ') || ')' AS text FROM machine GROUP BY run),
commanded AS (SELECT r.*, l.rank, l.is_teacher AS after, run_command(r.id) AS command FROM listed l JOIN runs r USING (id))
SELECT '\hypertarget{run:' || substr(c.id, 1, 8) || '}{\texttt{' || substr(c.id, 1, 8) || '}} & '
    || latex(method_label(c.method)) || iif(c.is_teacher, ' (teacher)', '') || ' & ' || c.seed || ' & '
    || coalesce('\texttt{' || latex(CASE WHEN c.command LIKE 'git checkout %'
        THEN 'git checkout ' || substr(c.command, 14, min(12, instr(substr(c.command, 14), ' ') - 1)) -- of the commit
            || substr(c.command, 13 + instr(substr(c.command, 14), ' '))
        ELSE c.command END) || '}',
        iif(c.number IN (SELECT run FROM experiment_runs), 'made by a program that knew other keys', 'made by hand'))
    || coalesce(t.text, '') || ' \\' AS latex
FROM commanded c LEFT JOIN trained t ON t.run = c.number
ORDER BY c.rank, c.after;
