-- What one training of each row of the main table costs.
SELECT '\begin{tabular}{lrrrrrr}
\toprule
 & \multicolumn{2}{c}{Updates} & \multicolumn{2}{c}{TFLOP} & Peak & Wall \\
\cmidrule(lr){2-3}\cmidrule(lr){4-5}
Method & all & teacher & all & teacher & memory & time \\
\midrule' AS latex;

SELECT DISTINCT latex(label) || coalesce(', ' || latex(setting), '') || ' & ' || updates || ' & '
    || coalesce(nullif(teacher_updates, 0), '--') || ' & ' || three_digits(flops * 1e-12) || ' & '
    || iif(teacher_flops > 0, three_digits(teacher_flops * 1e-12), '--') || ' & ' || byte_size(peak_bytes) || ' & '
    || duration(seconds) || ' \\' AS latex
FROM (SELECT * FROM final WHERE study = 'main' ORDER BY place);

SELECT '\bottomrule
\end{tabular}' AS latex;
