SELECT latex FROM score_table JOIN shown USING (study, section) WHERE study = 'ablation' ORDER BY line;
