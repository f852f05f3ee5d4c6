-- Facts of a study as a whole: what was scored, and with what configuration.
WITH
wanted (study, name) AS (VALUES
    ('main', 'metric'), ('main', 'extractor'), ('main', 'samples'), ('main', 'seeds-words'), ('main', 'updates'),
    ('main', 'methods'), ('main', 'labels-words'), ('main', 'experiment'), ('main', 'steps-list'),
    ('main', 'floor'), ('main', 'floor-note'), ('main', 'pairs'),
    ('labels', 'metric'), ('labels', 'samples'), ('labels', 'seeds-words'),
    ('ablation', 'metric'), ('ablation', 'seeds-words'), ('ablation', 'labels-words'), ('ablation', 'updates'),
    ('ablation', 'floor-note'),
    ('samplers', 'metric'), ('samplers', 'seeds-words'), ('longer', 'metric'), ('longer', 'seeds-words'),
    ('work', 'metric'), ('work', 'seeds-words'),
    ('conditional', 'updates'), ('conditional', 'seeds-words'))
SELECT w.study || '/' || w.name AS fact, CASE w.name
        WHEN 'metric' THEN latex(s.metric_label)
        WHEN 'extractor' THEN latex(s.extractor)
        WHEN 'samples' THEN s.samples
        WHEN 'updates' THEN (SELECT updates FROM final WHERE study = w.study ORDER BY place LIMIT 1)
        WHEN 'methods' THEN (SELECT count(DISTINCT method) FROM final WHERE study = w.study)
        WHEN 'labels-words' THEN (
            SELECT iif(json_extract(config_json, '$.model.classes') = 0, 'without labels', 'with labels')
            FROM final WHERE study = w.study ORDER BY place LIMIT 1)
        WHEN 'experiment' THEN (SELECT latex(t.experiment) FROM study t WHERE t.study = w.study)
        WHEN 'steps-list' THEN ( -- 1, 4 and 16
            SELECT group_concat(CASE nth WHEN 1 THEN '' WHEN count THEN ' and ' ELSE ', ' END || steps, '')
            FROM (SELECT steps, row_number() OVER (ORDER BY steps) AS nth, count(*) OVER () AS count FROM column_of c
                  WHERE c.study = w.study AND c.section = s.section ORDER BY steps))
        WHEN 'seeds-words' THEN iif(s.seeds = 1, 'one seed', s.seeds || ' seeds')
        WHEN 'floor' THEN coalesce(three_digits(r.data), '--')
        WHEN 'floor-note' THEN iif(r.data IS NULL OR r.shows_data, '', ' The score of data itself lies below the axis.')
        WHEN 'pairs' THEN v.comparisons
    END AS value
FROM wanted w JOIN shown s USING (study) JOIN verdict v USING (study, section) JOIN range r USING (study);

-- Configurations by dotted name: of a method's run, or of the study's first.
WITH
wanted (study, method, key) AS (VALUES
    ('main', '', 'dataset.name'), ('main', '', 'evaluate.weights'), ('main', '', 'model.preset'),
    ('main', '', 'model.hidden'), ('main', '', 'model.depth'), ('main', '', 'model.heads'), ('main', '', 'model.patch'),
    ('main', '', 'train.batch'), ('main', '', 'train.schedule'), ('main', '', 'train.warmup'), ('main', '', 'train.beta1'),
    ('main', '', 'train.beta2'), ('main', '', 'train.weight_decay'), ('main', '', 'train.ema'),
    ('main', '', 'train.precision'),
    ('main', 'shortcut', 'methods.shortcut.bootstrap_fraction'), ('main', 'shortcut', 'methods.shortcut.max_step'),
    ('main', 'reflow', 'methods.reflow.pairs'), ('main', 'reflow', 'methods.reflow.teacher_steps'),
    ('conditional', '', 'model.preset'), ('ablation', '', 'model.preset')),
rows AS (SELECT study, method, place, min(config_json) AS config FROM final GROUP BY study, place)
SELECT w.study || '/' || iif(w.method = '', '', w.method || '/') || 'config/' || w.key AS fact,
    latex(json_extract(r.config, '$.' || w.key)) AS value
FROM wanted w JOIN rows r ON r.study = w.study AND iif(w.method = '', r.place = 0, r.method = w.method);

SELECT 'main/reflow/teacher-updates' AS fact, teacher_updates AS value FROM final
WHERE study = 'main' AND method = 'reflow' GROUP BY study;

-- Trainings of the main table, each once whoever made it, and how many came to nothing.
WITH trained AS (
    SELECT max(r.state = 'trained') AS made FROM study t JOIN experiment_runs x ON x.experiment = t.id
        JOIN runs r ON r.number = x.run
    WHERE t.study = 'main' AND NOT r.is_teacher GROUP BY r.train_hash, r.data_sha256, r.seed)
SELECT 'main/trainings' AS fact, count(*) AS value FROM trained
UNION ALL SELECT 'main/failed', iif(sum(made) = count(*), 'none', count(*) - sum(made)) FROM trained;

-- How long they and their teachers trained.
WITH
trained AS (SELECT r.* FROM study t JOIN experiment_runs x ON x.experiment = t.id JOIN runs r ON r.number = x.run
    WHERE t.study = 'main'),
every AS (SELECT id, seconds FROM trained UNION SELECT r.id, r.seconds FROM trained t JOIN runs r ON r.id = t.teacher)
SELECT 'main/wall' AS fact, duration(sum(seconds)) AS value FROM every;

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
