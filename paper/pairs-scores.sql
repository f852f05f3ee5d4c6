SELECT latex FROM score_table JOIN shown USING (study, section) WHERE study = 'pairs' ORDER BY line;
