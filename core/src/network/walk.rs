//! The order of a network's steps. All roles follow it, so each one sends what another waits for.

/// A role's part in each step of a stage. A step that the stage does not have, such as max pooling, does nothing.
pub(crate) trait Steps<E> {
    /// The bilinear map with its average pooling.
    fn map(&mut self, stage: usize) -> Result<(), E>;
    /// Max pooling of the map's output.
    fn max_pool(&mut self, stage: usize) -> Result<(), E>;
    /// The activation.
    fn activation(&mut self, stage: usize) -> Result<(), E>;
    /// The gradient by the weights and biases, from the gradient by the map's output.
    fn weight_gradient(&mut self, stage: usize) -> Result<(), E>;
    /// The gradient by the stage's input, from the gradient by the map's output.
    fn input_gradient(&mut self, stage: usize) -> Result<(), E>;
    /// The backward pass through the activation.
    fn activation_backward(&mut self, stage: usize) -> Result<(), E>;
    /// The backward pass through the max pooling.
    fn max_pool_backward(&mut self, stage: usize) -> Result<(), E>;
}

/// Runs the forward pass over `stages` stages. It ends with the map of the last one, which makes the logits.
pub(crate) fn forward<E>(steps: &mut impl Steps<E>, stages: usize) -> Result<(), E> {
    for stage in 0..stages {
        steps.map(stage)?;
        if stage + 1 < stages {
            steps.max_pool(stage)?;
            steps.activation(stage)?;
        }
    }
    Ok(())
}

/// Runs the backward pass over `stages` stages, from the gradient by the logits. It makes no gradient by the first
/// stage's input, which is data.
pub(crate) fn backward<E>(steps: &mut impl Steps<E>, stages: usize) -> Result<(), E> {
    for stage in (0..stages).rev() {
        steps.weight_gradient(stage)?;
        if stage > 0 {
            steps.input_gradient(stage)?;
            steps.activation_backward(stage - 1)?;
            steps.max_pool_backward(stage - 1)?;
        }
    }
    Ok(())
}
