-- What each trial of fashion-rates came to: the mean of log FD at 1, 4 and 128 steps, the best of each method first.
-- By the head of fashion-rates.yaml: where the best lies at an end of the rates tried, one more is due on that side.
--
--   sqlite3 -readonly -box out/fewstep.db < experiments/fashion-rates.sql
SELECT runs.method,
       coalesce(nullif(json_extract(config_json, '$.methods."' || runs.method || '".learning_rate'), 'train'),
                json_extract(config_json, '$.train.learning_rate')) AS learning_rate,
       json_extract(config_json, '$.methods."' || runs.method || '".target_ema') AS target_ema,
       round(avg(ln(scores.value)), 3) AS mean_log_fd,
       group_concat(scores.steps || ': ' || format('%.4g', scores.value), '  ') AS fd
FROM runs JOIN scores ON scores.run = runs.number
WHERE runs.seed = 100 AND runs.is_teacher = 0 AND scores.metric = 'fd' AND scores.steps IN (1, 4, 128)
  AND scores.at_update = (SELECT max(at_update) FROM scores WHERE run = runs.number) AND scores.samples = 500
GROUP BY runs.number HAVING count(*) = 3
ORDER BY runs.method, mean_log_fd;
