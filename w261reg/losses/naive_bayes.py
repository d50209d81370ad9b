"""Multinomial naive Bayes, as the linear model of K classes that it is."""

from w261reg.losses.cxe import CrossEntropy


class NaiveBayes(CrossEntropy):
    """Cross entropy of P(class | x) under P(x | class k) ~ prod_j theta_jk^x_j, by Bayes' rule.

    The log joint log pi_k + sum_j x_j log theta_jk is linear in x, so that its softmax is the
    probability of a class (McCallum and Nigam 1998, *A Comparison of Event Models for Naive Bayes
    Text Classification*). pi and theta are shares of counts: nothing is minimised over this loss,
    which only scores.
    """

    name = "naive_bayes"
    title = "multinomial naive Bayes: features >= 0 are counts, fitted by counting in one pass"
    counted = True
    family = None

    def of_classes(self, count: int) -> "NaiveBayes":
        return NaiveBayes(count)
