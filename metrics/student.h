/* Student's t distribution: intervals from a spread that is itself estimated. */
#ifndef FEWSTEP_STUDENT_H
#define FEWSTEP_STUDENT_H

/* Student's t distribution with dof > 0: chance of a value beyond ±t (t ≥ 0), and the t that is passed with chance
 * `tail` on one side (0 < tail ≤ 0.5). Relative error below 1e-10 for dof in [1, 1e6] and tails above 1e-12. */
double fs_student_two_sided(double t, double dof);
double fs_student_quantile(double tail, double dof);

#endif
