//! Threads for coarse tasks.

use rayon::prelude::*;

/// A pool of threads that lives as long as one call.
pub struct Pool(Option<rayon::ThreadPool>);

impl Pool {
    /// `threads` threads; 0 means one a core, 1 means the calling thread alone.
    ///
    /// # Errors
    /// The operating system refused a thread.
    pub fn new(threads: usize) -> Result<Pool, rayon::ThreadPoolBuildError> {
        if threads == 1 {
            return Ok(Pool(None));
        }
        let builder = rayon::ThreadPoolBuilder::new().num_threads(threads.min(1024));
        Ok(Pool(Some(builder.build()?)))
    }

    /// How many threads work.
    pub fn threads(&self) -> usize {
        self.0
            .as_ref()
            .map_or(1, rayon::ThreadPool::current_num_threads)
    }

    /// Applies `task` to each item; the results are in the order of the items.
    pub fn map<I: Send, O: Send>(
        &self,
        items: Vec<I>,
        task: impl Fn(I) -> O + Send + Sync,
    ) -> Vec<O> {
        match &self.0 {
            Some(pool) if items.len() > 1 => {
                pool.install(|| items.into_par_iter().map(task).collect())
            }
            _ => items.into_iter().map(task).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_order() {
        for threads in [0, 1, 3] {
            let pool = Pool::new(threads).expect("threads");
            let squares = pool.map((0..100u64).collect(), |i| i * i);
            assert!(
                squares
                    .iter()
                    .enumerate()
                    .all(|(i, square)| *square == (i * i) as u64)
            );
        }
    }
}
