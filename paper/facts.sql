-- Facts of a study as a whole: what was scored, and with what configuration.
WITH
wanted (study, name) AS (VALUES
    ('main', 'metric'), ('main', 'metric-short'), ('main', 'extractor'), ('main', 'samples'), ('main', 'seeds-words'),
    ('main', 'updates'), ('main', 'steps-list'), ('main', 'floor'), ('main', 'floor-note'), ('main', 'pairs'),
    ('main', 'pairs-decided'), ('main', 'test/dof'), ('main', 'test/smallest'), ('main', 'test/largest'),
    ('budget', 'name'), ('budget', 'metric'), ('budget', 'samples'), ('budget', 'seeds-words'), ('budget', 'floor'),
    ('pairs', 'metric'), ('pairs', 'samples'), ('pairs', 'seeds-words'), ('pairs', 'updates'),
    ('ablation', 'ablated'), ('ablation', 'metric'), ('ablation', 'samples'), ('ablation', 'seeds-words'),
    ('ablation', 'updates'), ('ablation', 'floor-note'), ('ablation', 'pairs'), ('ablation', 'pairs-decided'),
    ('ablation', 'test/smallest'), ('ablation', 'test/largest')),
lists AS (
    SELECT study, group_concat(CASE place WHEN 1 THEN '' WHEN count THEN ' and ' ELSE ', ' END || steps, '') AS steps
    FROM (SELECT study, steps, row_number() OVER (PARTITION BY study ORDER BY steps) AS place,
              count(*) OVER (PARTITION BY study) AS count
          FROM column_of JOIN shown USING (study, section) ORDER BY study, steps)
    GROUP BY study)
SELECT w.study || '/' || w.name AS fact, CASE w.name
        WHEN 'name' THEN latex(s.experiment)
        WHEN 'ablated' THEN latex(s.ablated)
        WHEN 'metric' THEN latex(s.metric_label)
        WHEN 'metric-short' THEN iif(s.metric = 'fid', 'FID', 'FD')
        WHEN 'extractor' THEN latex(s.extractor)
        WHEN 'samples' THEN s.samples
        WHEN 'updates' THEN (SELECT updates FROM final WHERE study = w.study ORDER BY place LIMIT 1)
        WHEN 'seeds-words' THEN iif(s.seeds = 1, 'one seed', s.seeds || ' seeds')
        WHEN 'steps-list' THEN l.steps
        WHEN 'floor' THEN coalesce(three_digits(r.data), '--')
        WHEN 'floor-note' THEN iif(r.data IS NULL OR r.shows_data, '', ' The score of data itself lies below the axis.')
        WHEN 'pairs' THEN v.comparisons
        WHEN 'pairs-decided' THEN v.decided
        WHEN 'test/dof' THEN iif(v.tested, printf('%g', v.dof), '--')
        WHEN 'test/smallest' THEN iif(v.tested, printf('%.2f', v.smallest), '--')
        WHEN 'test/largest' THEN iif(v.tested, printf('%.2f', v.largest), '--')
    END AS value
FROM wanted w JOIN shown s USING (study) JOIN verdict v USING (study, section) JOIN range r USING (study)
    JOIN lists l USING (study);

-- Configurations by dotted name: of a method's run, or of the study's first.
WITH
wanted (study, method, key) AS (VALUES
    ('main', '', 'dataset.name'), ('main', '', 'evaluate.weights'), ('main', '', 'model.preset'),
    ('main', '', 'model.hidden'), ('main', '', 'model.depth'), ('main', '', 'model.heads'), ('main', '', 'model.patch'),
    ('main', '', 'model.finest_steps'), ('main', '', 'train.batch'), ('main', '', 'train.learning_rate'),
    ('main', '', 'train.schedule'), ('main', '', 'train.warmup'), ('main', '', 'train.beta1'),
    ('main', '', 'train.beta2'), ('main', '', 'train.weight_decay'), ('main', '', 'train.ema'),
    ('main', '', 'train.precision'),
    ('main', 'shortcut', 'methods.shortcut.bootstrap_fraction'), ('main', 'shortcut', 'methods.shortcut.max_step'),
    ('main', 'shortcut', 'methods.shortcut.target_ema'),
    ('main', 'reflow', 'methods.reflow.pairs'), ('main', 'reflow', 'methods.reflow.teacher_steps'),
    ('budget', '', 'model.preset'), ('budget', '', 'train.batch'), ('budget', '', 'train.learning_rate'),
    ('budget', '', 'train.schedule'),
    ('pairs', '', 'model.preset'), ('pairs', '', 'train.batch'),
    ('ablation', '', 'model.preset'), ('ablation', '', 'train.batch'), ('ablation', '', 'train.learning_rate')),
rows AS (SELECT study, method, place, min(config_json) AS config FROM final GROUP BY study, place)
SELECT w.study || '/' || iif(w.method = '', '', w.method || '/') || 'config/' || w.key AS fact,
    latex(json_extract(r.config, '$.' || w.key)) AS value
FROM wanted w JOIN rows r ON r.study = w.study AND iif(w.method = '', r.place = 0, r.method = w.method);

-- Costs of a row. work: by which factor its matrix products are more than those of the cheapest.
WITH
wanted (study, key, name) AS (VALUES
    ('main', 'progressive-distillation', 'teacher-updates'), ('main', 'reflow', 'teacher-updates'),
    ('main', 'shortcut', 'work'), ('main', 'progressive-distillation', 'work'), ('main', 'reflow', 'work'),
    ('pairs', '500', 'teacher-updates'), ('pairs', '500', 'tflop'), ('pairs', '8000', 'tflop')),
rows AS (
    SELECT DISTINCT study, place, key, teacher_updates, flops, min(flops) OVER (PARTITION BY study) AS least FROM final)
SELECT w.study || '/' || w.key || '/' || w.name AS fact, CASE w.name
        WHEN 'teacher-updates' THEN r.teacher_updates
        WHEN 'tflop' THEN three_digits(r.flops * 1e-12)
        WHEN 'work' THEN printf('%.2f', r.flops / r.least)
    END AS value
FROM wanted w JOIN rows r USING (study, key);

-- Of the database as a whole.
SELECT 'database/file' AS fact, latex(given('database')) AS value
UNION ALL SELECT 'database/written', strftime('%Y-%m-%d', max(created), 'unixepoch') FROM scores
UNION ALL SELECT 'database/runs', count(*) FROM runs
UNION ALL SELECT 'database/scores', count(*) FROM scores
UNION ALL SELECT 'database/builds', latex(text) FROM builds JOIN shown USING (study, section) WHERE study = 'main'
UNION ALL SELECT 'test/alpha', printf('%g', alpha) FROM verdict JOIN shown USING (study, section) WHERE study = 'main';

-- Everything of a kind that the runs of the main table were trained with, each once.
WITH
trained AS (
    SELECT x.position, m.position AS session, r.data_sha256, e.*
    FROM study t JOIN experiment_runs x ON x.experiment = t.id JOIN runs r ON r.number = x.run
        JOIN run_environments m ON m.run = x.run JOIN environments e ON e.id = m.environment
    WHERE t.study = 'main'),
each AS (
    SELECT position, session, 'machines' AS name, cpu || ' (' || threads || iif(threads = 1, ' thread, ', ' threads, ')
        || isa || ')' AS text FROM trained
    UNION ALL SELECT position, session, 'device', device FROM trained
    UNION ALL SELECT position, session, 'compiler', compiler FROM trained
    UNION ALL SELECT position, session, 'flags', flags FROM trained
    UNION ALL SELECT position, session, 'libraries', libraries FROM trained
    UNION ALL SELECT position, session, 'data', substr(data_sha256, 1, 16) FROM trained)
SELECT 'database/' || name AS fact, latex(group_concat(text, '; ')) AS value
FROM (SELECT name, text FROM each GROUP BY name, text ORDER BY min(position), min(session))
GROUP BY name;
