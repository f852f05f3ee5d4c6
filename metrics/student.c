/* Student's t distribution by the incomplete beta function. */
#include "metrics/student.h"

#include <math.h>

/* Continued fraction of the incomplete beta function (DLMF 8.17.22) by Lentz's method; converges fast for
 * x < (a + 1) / (a + b + 2). */
static double beta_fraction(double x, double a, double b)
{
    const double tiny = 1e-300;
    double c = 1, d = 1 - (a + b) * x / (a + 1);

    d = 1 / (fabs(d) < tiny ? tiny : d);
    double value = d;
    for (int m = 1; m < 10000; m++) {
        const double even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m));
        const double odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1));
        double change = 1;
        for (int half = 0; half < 2; half++) {
            const double term = half ? odd : even;
            d = 1 + term * d;
            d = 1 / (fabs(d) < tiny ? tiny : d);
            c = 1 + term / c;
            c = fabs(c) < tiny ? tiny : c;
            change = c * d;
            value *= change;
        }
        if (fabs(change - 1) < 1e-15) {
            break;
        }
    }
    return value;
}

/* Γ(z + 1/2) / Γ(z). Differences of lgamma lose digits for large z, where the ratio's own series (from Stirling's) is
 * exact to rounding. */
static double gamma_ratio(double z)
{
    if (z < 50) {
        return exp(lgamma(z + 0.5) - lgamma(z));
    }
    const double u = 1 / z;
    return sqrt(z) *
           (1 + u * (-1.0 / 8 + u * (1.0 / 128 + u * (5.0 / 1024 + u * (-21.0 / 32768 - u * 399.0 / 262144)))));
}

/* Regularised incomplete beta function I_x(dof / 2, 1/2) with 1 − x given as y, which may be small. */
static double incomplete_beta(double x, double y, double dof)
{
    const double a = dof / 2, b = 0.5;
    const double front = exp(a * (x > 0.5 ? log1p(-y) : log(x))) * sqrt(y) * gamma_ratio(a) / sqrt(acos(-1.0));

    return x < (a + 1) / (a + b + 2) ? front * beta_fraction(x, a, b) / a : 1 - front * beta_fraction(y, b, a) / b;
}

double fs_student_two_sided(double t, double dof)
{
    if (isinf(t)) {
        return 0;
    }
    const double sum = dof + t * t;
    return t == 0 ? 1 : incomplete_beta(dof / sum, t * t / sum, dof);
}

double fs_student_quantile(double tail, double dof)
{
    /* The chance falls and is convex in t > 0, so Newton's steps from 0 never pass the solution. */
    const double density = gamma_ratio(dof / 2) / sqrt(acos(-1.0) * dof);
    double t = 0;

    for (int i = 0; i < 200; i++) {
        const double slope = 2 * density * exp(-(dof + 1) / 2 * log1p(t * t / dof));
        const double step = (fs_student_two_sided(t, dof) - 2 * tail) / slope;
        t += step;
        if (step < 1e-14 * t) {
            break;
        }
    }
    return t;
}
