-- What one training of each row of the main table costs.
SELECT '\begin{tabular}{lrrrrrr}
\toprule
 & Learning & \multicolumn{2}{c}{Updates} & \multicolumn{2}{c}{TFLOP} & Peak \\
\cmidrule(lr){3-4}\cmidrule(lr){5-6}
Method & rate & all & teacher & all & teacher & memory \\
\midrule' AS latex;

SELECT DISTINCT latex(label) || coalesce(', ' || latex(setting), '') || ' & '
    || coalesce(json_extract(config_json, '$.methods."' || method || '".learning_rate'), json_extract(config_json,
        '$.train.learning_rate')) || ' & ' || updates || ' & '
    || coalesce(nullif(teacher_updates, 0), '--') || ' & ' || three_digits(flops * 1e-12) || ' & '
    || iif(teacher_flops > 0, three_digits(teacher_flops * 1e-12), '--') || ' & ' || byte_size(peak_bytes) || ' \\' AS latex
FROM (SELECT * FROM final WHERE study = 'main' ORDER BY place);

SELECT '\bottomrule
\end{tabular}' AS latex;
