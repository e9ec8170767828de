# The chain of chains.py in simmer: Rscript loop.R SEED N RATE CORES MEAN [CORES MEAN …].
#
# Prints the same JSON line as chains.py.

suppressPackageStartupMessages(library(simmer))

numbers <- as.numeric(commandArgs(trailingOnly = TRUE))
set.seed(numbers[1])
n <- numbers[2]
stations <- matrix(numbers[-(1:3)], nrow = 2)

served <- trajectory()
portal <- simmer()
for (place in seq_len(ncol(stations))) {
  served <- local({
    name <- paste0("station", place)
    mean_s <- stations[2, place]
    served |>
      seize(name) |>
      timeout(function() rexp(1, 1 / mean_s)) |>
      release(name)
  })
  portal <- add_resource(portal, paste0("station", place), stations[1, place], mon = FALSE)
}
start <- sum(proc.time()[1:2])
portal <- portal |>
  add_generator("customer", served, at(cumsum(rexp(n, numbers[3])))) |>
  run()
cpu_s <- sum(proc.time()[1:2]) - start

arrivals <- get_mon_arrivals(portal)
response_s <- arrivals$end_time - arrivals$start_time
batches <- colMeans(matrix(head(response_s, length(response_s) %/% 20 * 20), ncol = 20))
peak <- grep("VmHWM", readLines("/proc/self/status"), value = TRUE)
cat(sprintf(
  paste0(
    '{"n": %d, "cpu_s": %.6f, "rss_mib": %.1f, "mean_s": %.6f, "error_s": %.6f, ',
    '"left_share": 0}\n'
  ),
  length(response_s), cpu_s, as.numeric(gsub("[^0-9]", "", peak)) / 1024, mean(response_s),
  sd(batches) / sqrt(20)
))
