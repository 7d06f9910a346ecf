# The exports of R, and the linear predictors of R's models with factors (treatment contrasts).
set.seed(20)
n <- 24
d <- data.frame(
  weight = round(60 + 12 * rnorm(n), 2), group = factor(sample(c("control", "low dose", "high dose"), n, TRUE)),
  smoker = sample(c(TRUE, FALSE), n, TRUE), town = sample(c("Köln", "Aßlar", "Évry"), n, TRUE),
  day = as.Date("2024-01-01") + sample(0:300, n))
d$y <- round(1000 + 3 * d$weight + 40 * (d$group == "low dose") - 25 * d$smoker + 5 * rnorm(n), 2)
e <- d; e$weight[3] <- NA; e$town[5] <- NA
write.csv(d, "write_csv.csv"); write.csv(d, "write_csv_no_names.csv", row.names = FALSE)
write.csv2(d, "write_csv2.csv"); write.table(d, "write_table.txt"); write.table(d, "write_table_tab.tsv", sep = "\t", quote = FALSE, row.names = FALSE)
write.csv(e, "write_csv_missing.csv")
rownames(d) <- paste("case", seq_len(n)); write.csv(d, "write_csv_labels.csv", fileEncoding = "latin1")
# Models
w <- d[, c("weight", "group", "smoker", "town")]
show <- function(v) paste0("[", paste(formatC(v, digits = 17, format = "g"), collapse = ","), "]")
lmv <- fitted(lm(y ~ weight + group + smoker + town, d))
yes <- as.integer(runif(n) < plogis((d$weight - 60) / 15 + 0.5 * d$smoker))
p <- glm(yes ~ weight + group + smoker, binomial, d, control = glm.control(epsilon = 1e-15, maxit = 100))
counts <- round(abs(d$y - 1100) / 10)
q <- glm(counts ~ weight + group + smoker, poisson, d, control = glm.control(epsilon = 1e-15, maxit = 100))
three <- c("a", "b", "c")[1 + (seq_len(n) * 7 + round(d$weight)) %% 3]
# multinom stops some digits before the maximum: Newton's steps go on from there.
library(nnet)
m <- multinom(three ~ weight + group, d, reltol = 1e-16, abstol = 0, maxit = 10000, trace = FALSE)
x <- model.matrix(m); b <- t(coef(m)); t1 <- outer(three, m$lev[-1], "==")
for (step in 1:8) {
  e <- exp(x %*% b); f <- e / (1 + rowSums(e))
  h <- matrix(0, length(b), length(b)); k <- ncol(x)
  for (i in 1:2) for (j in 1:2) {
    h[(i - 1) * k + 1:k, (j - 1) * k + 1:k] <- crossprod(x, x * ((i == j) * f[, i] - f[, i] * f[, j]))
  }
  b <- b + matrix(solve(h, as.vector(crossprod(x, t1 - f))), k)
}
out <- cbind(d[, c("weight", "group", "smoker", "town", "y")], yes = ifelse(yes == 1, "yes", "no"), counts, three)
write.csv(out, "models.csv", row.names = FALSE, fileEncoding = "UTF-8")
cat("{\"lm\":", show(lmv), ",\n\"binomial\":", show(predict(p)), ",\n\"poisson\":", show(predict(q)), ",\n\"multinom_probabilities\":", show(t(cbind(1 - rowSums(f), f))), "}\n", file = "models.json")
