-- What several queries share. Over the tables of the results (harness/results/tables.c) and of the store
-- (harness/store/schema.c).

-- The section of each study that the paper shows: of FID where there is one, else of FD, else the first.
CREATE TEMP VIEW shown AS
SELECT * FROM (
    SELECT *, row_number() OVER (PARTITION BY study ORDER BY metric <> 'fid', metric <> 'fd', section) AS rank
    FROM section JOIN study USING (study))
WHERE rank = 1;

-- Its cells: the last word of each run. key: how facts name the row.
CREATE TEMP VIEW final AS
SELECT c.*, coalesce(c.setting, c.method) AS key,
    substr(c.label, 1, instr(c.label || ' (', ' (') - 1) AS short -- Flow matching, of Flow matching (Euler)
FROM cell c JOIN shown USING (study, section) WHERE c.origin = 'run' AND c.at_update IS NULL;

-- Its comparisons, with the keys, methods and updates of both rows, and in words. A single seed allows no test, only to say which
-- number is the smaller one.
CREATE TEMP VIEW compared AS
SELECT c.*, a.key AS key, b.key AS other_key, a.method AS method, b.method AS other_method,
    a.updates AS updates, b.updates AS other_updates, CASE
        WHEN finding <> 'undecided' THEN finding || ' than'
        WHEN ratio IS NULL THEN 'not comparable with'
        WHEN c.seeds > 1 THEN 'not distinguishable from'
        WHEN ratio < 1 THEN 'numerically lower than'
        ELSE 'numerically higher than'
    END AS words
FROM comparison c JOIN shown USING (study, section)
    JOIN final a ON a.study = c.study AND a.steps = c.steps AND a.place = c.place
    JOIN final b ON b.study = c.study AND b.steps = c.steps AND b.place = c.other;

-- The score of data itself.
CREATE TEMP VIEW data AS
SELECT c.study, c.mean, c.label FROM cell c JOIN shown USING (study, section) WHERE c.origin = 'data';

-- The builds behind a section: "from commit 0123456789ab (source 0123456789ab), …", in the order of its scores.
CREATE TEMP VIEW builds AS
SELECT study, section, 'from commit ' || group_concat(text, ', ') AS text
FROM (
    SELECT s.study, s.section, substr(coalesce(e.commit_hash, 'unknown'), 1, 12) || iif(e.dirty, '-dirty', '') || ' (source '
        || substr(e.source_hash, 1, 12) || ')' AS text
    FROM seed_score s JOIN scores m ON m.number = s.score LEFT JOIN run_environments r ON r.run = m.run
        JOIN environments e ON e.id IN (m.environment, r.environment)
    WHERE s.at_update IS NULL
    GROUP BY s.study, s.section, 3
    ORDER BY s.study, s.section, min(coalesce(s.place, 1000) * 1000000 + coalesce(s.steps, 0) * 1000 + s.seed), min(e.id))
GROUP BY study, section;

-- --- figures ---

-- Bars: ± one standard error over seeds; of one seed the 95 % interval over its samples.
CREATE TEMP VIEW point AS
SELECT study, place, key, label, steps, outside, mean AS y,
    coalesce(error, max(mean - low, 0), 0) AS below, coalesce(error, max(high - mean, 0), 0) AS above
FROM final;

-- The ends of the axis. The data's own score is drawn unless it is so low that the lines would be pressed together.
CREATE TEMP VIEW range AS
SELECT study, iif(shows_data, min(low, data), low) AS low, iif(shows_data, max(high, data), high) AS high,
    data, shows_data, split
FROM (
    SELECT p.study, min(p.y - p.below) AS low, max(p.y + p.above) AS high, d.mean AS data, d.label AS split,
        coalesce(d.mean > min(p.y - p.below) / 4, 0) AS shows_data
    FROM point p LEFT JOIN data d USING (study) GROUP BY p.study);

CREATE TEMP VIEW y_axis AS
SELECT r.study, log_axis(r.low, r.high) || ', ylabel={' || latex(s.metric_label) || '}' AS options
FROM range r JOIN shown s USING (study);

-- --- tables ---

CREATE TEMP VIEW column_of AS
SELECT DISTINCT study, section, steps FROM cell WHERE origin = 'run' AND at_update IS NULL;

-- Methods × steps, a line of LaTeX each. names: how many columns stand before the numbers.
CREATE TEMP VIEW score_table AS
WITH
head AS (
    SELECT s.study, s.section, count(*) AS columns, iif(t.ablated IS NULL, 1, 2) AS names, t.ablated,
        group_concat(' & ' || c.steps, '') AS steps,
        -- a cell of other seeds than the table's has their number behind it
        EXISTS (SELECT 1 FROM cell x WHERE x.study = s.study AND x.section = s.section AND x.origin = 'run'
                AND x.at_update IS NULL AND x.seeds <> s.seeds) AS counts
    FROM section s JOIN study t USING (study)
        JOIN (SELECT * FROM column_of ORDER BY study, section, steps) c USING (study, section)
    GROUP BY s.study, s.section),
body AS (
    SELECT study, section, place, label, setting, group_concat(' & ' || text, '') AS cells
    FROM (
        SELECT r.study, r.section, r.place, r.label, r.setting, c.steps,
            coalesce(table_cell(x.mean, x.error, x.outside, x.mark, nullif(x.seeds, s.seeds)), '--') AS text
        FROM (SELECT DISTINCT study, section, place, label, setting FROM cell WHERE origin = 'run') r
            JOIN section s USING (study, section) JOIN column_of c USING (study, section)
            LEFT JOIN cell x ON x.study = r.study AND x.section = r.section AND x.place = r.place AND x.steps = c.steps
                AND x.at_update IS NULL
        ORDER BY r.study, r.section, r.place, c.steps)
    GROUP BY study, section, place)
SELECT study, section, 0 AS line, '\begin{tabular}{' || iif(names = 2, 'll', 'l') || '*{' || columns || '}{r'
    || iif(counts, '@{\hspace{2em}}', '') || '}}
\toprule
' || iif(names = 2, ' & & ', ' & ') || '\multicolumn{' || columns || '}{c}{Sampling steps} \\
\cmidrule(l){' || (names + 1) || '-' || (names + columns) || '}
Method' || iif(names = 2, ' & ' || latex(ablated), '') || steps || ' \\
\midrule' AS latex
FROM head
UNION ALL
SELECT study, section, 1 + place, latex(label) || coalesce(' & ' || latex(setting), '') || cells || ' \\' FROM body
UNION ALL
SELECT h.study, h.section, 900 + row_number() OVER (PARTITION BY h.study, h.section ORDER BY e.place),
    iif(row_number() OVER (PARTITION BY h.study, h.section ORDER BY e.place) = 1, '\midrule
', '') || latex(e.label) || iif(h.names = 2, ' & ', '') || e.cells || ' \\'
FROM head h JOIN (
    SELECT study, section, CAST(setting AS INTEGER) AS place, label, group_concat(' & ' || text, '') AS cells
    FROM (
        SELECT r.study, r.section, r.setting, r.label, c.steps, coalesce(three_digits(x.mean), '--') AS text
        FROM (SELECT DISTINCT study, section, setting, label FROM cell WHERE origin = 'exact') r
            JOIN column_of c USING (study, section)
            LEFT JOIN cell x ON x.study = r.study AND x.section = r.section AND x.origin = 'exact' AND x.setting = r.setting
                AND x.steps = c.steps
        ORDER BY r.study, r.section, r.setting, c.steps)
    GROUP BY study, section, setting) e USING (study, section)
UNION ALL
SELECT h.study, h.section, 1000, '\midrule
Data: ' || latex(c.label) || ' split' || iif(h.names = 2, ' & ', '')
    || replace(printf('%.*c', h.columns, 'x'), 'x', ' & ' || three_digits(c.mean)) || ' \\'
FROM head h JOIN cell c USING (study, section) WHERE c.origin = 'data'
UNION ALL
SELECT study, section, 1001, '\bottomrule
\end{tabular}' FROM head;

-- --- published orders ---

-- By which factor the score of `higher` is above that of `lower` in a setting of the original study.
CREATE TEMP VIEW published_ratio AS
SELECT a.section, a.steps, a.method AS lower, b.method AS higher, b.mean / a.mean AS ratio
FROM cell a JOIN cell b USING (study, section, steps) WHERE a.study = 'published';

-- Each order of two methods on which all settings agree and of which a seed of ours has both. ratio: of the published
-- higher score to the lower one, here: above 1 it points the published way.
CREATE TEMP VIEW claim AS
SELECT c.study, c.ratio,
    CASE c.finding WHEN 'higher' THEN 'hold' WHEN 'lower' THEN 'reversed' ELSE 'undecided' END AS finding,
    low.outside AS lower_outside, high.outside AS higher_outside,
    latex(low.short) || ' below ' || latex(high.short) || ' at ' || c.steps || iif(c.steps = 1, ' step', ' steps') AS words
FROM comparison c JOIN shown USING (study, section)
    JOIN final low ON low.study = c.study AND low.steps = c.steps AND low.place = c.other
    JOIN final high ON high.study = c.study AND high.steps = c.steps AND high.place = c.place
WHERE c.ratio IS NOT NULL AND c.study = 'main'
    AND (SELECT count(*) FROM published_ratio p WHERE p.steps = c.steps AND p.lower = low.method
         AND p.higher = high.method AND p.ratio > 1) = (SELECT count(*) FROM section WHERE study = 'published')
    AND EXISTS (SELECT 1 FROM section WHERE study = 'published');

-- --- pictures ---

-- Grids of samples of the main study; NULL: there is no such file.
CREATE TEMP VIEW picture AS
SELECT DISTINCT file_path(given('samples') || '/' || t.experiment || '/' || f.method || '-' || substr(s.run, 1, 8) || '-seed' || s.seed
        || '.png') AS path
FROM final f JOIN study t USING (study) JOIN seed_score s USING (study, section, place)
WHERE f.study = 'main';
