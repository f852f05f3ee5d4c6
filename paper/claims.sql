-- The orders of two methods that were published, held against ours: how many hold.

WITH
wanted (study, prefix, inside, name) AS (VALUES
    ('main', 'claims/', 0, 'all'), ('main', 'claims/', 0, 'hold'), ('main', 'claims/', 0, 'reversed'),
    ('main', 'claims/', 0, 'undecided'), ('main', 'claims/', 0, 'undecided-alike'),
    -- both methods used as they are meant to be
    ('main', 'claims/inside/', 1, 'all'), ('main', 'claims/inside/', 1, 'hold'), ('main', 'claims/inside/', 1, 'reversed'),
    ('main', 'claims/inside/', 1, 'undecided'))
SELECT w.prefix || w.name AS fact, sum(c.study IS NOT NULL AND CASE w.name
        WHEN 'all' THEN 1
        WHEN 'undecided-alike' THEN c.finding = 'undecided' AND c.ratio > 1
        ELSE c.finding = w.name
    END) AS value
FROM wanted w JOIN study USING (study)
    LEFT JOIN claim c ON c.study = w.study AND (NOT w.inside OR NOT (c.lower_outside OR c.higher_outside))
GROUP BY w.prefix, w.name;

-- Which are reversed: " (A below B at 4 steps; …)", or nothing.
SELECT 'claims/reversed/words' AS fact, coalesce(' (' || group_concat(words, '; ') || ')', '') AS value
FROM claim WHERE finding = 'reversed';
